"""tollgate-redis: connections, errors, and whether the store is asked."""

BUGS = [
    dict(
        name="redis: a connection that rested is trusted",
        file="redis/src/client/source.rs",
        old="if !self.has_rested(number) {",
        new="if !self.has_rested(number) || number > 0 {",
        tests=[
            "a_connection_that_was_closed_while_it_rested_costs_no_decision",
            "a_connection_that_fell_silent_while_it_rested_costs_no_decision",
        ],
    ),
    dict(
        name="redis: each check asks for a sign of life",
        file="redis/src/client/source.rs",
        old="slot.answered.elapsed() >= REST",
        new="slot.answered.elapsed() >= REST / 100",
        tests=["a_connection_in_use_is_not_asked_for_a_sign_of_life"],
    ),
    dict(
        name="redis: an attempt to connect that ended lasts for ever",
        file="redis/src/client/source.rs",
        old="                None => has_ended,",
        new="                None => has_ended && false,",
        tests=["recovery::an_attempt_to_connect_that_ends_is_followed_by_another"],
    ),
    dict(
        name="redis: an old error of an attempt is an answer",
        file="redis/src/client/source.rs",
        old="Some(made) => made.is_err(),",
        new="Some(_) => false,",
        tests=["recovery::an_attempt_that_failed_before_is_no_answer"],
    ),
    dict(
        name="redis: a key is told in an event",
        file="redis/src/client.rs",
        old="text.truncate(end);",
        new="_ = end;",
        tests=["warnings::an_error_of_the_server_is_told_without_the_key"],
    ),
    dict(
        name="redis: a server without enough replicas is kept",
        file="redis/src/outage.rs",
        old="""
            | Cause::NoReplicas
            | Cause::ClusterDown
            | Cause::Forbidden => true,
            Cause::OutOfMemory""",
        new="""
            | Cause::ClusterDown
            | Cause::Forbidden => true,
            Cause::NoReplicas | Cause::OutOfMemory""",
        tests=["recovery::a_server_that_is_no_master_any_more_is_left"],
    ),
    dict(
        name="redis: a broken connection is asked on again",
        file="redis/src/client.rs",
        old="                    if failure.cause.is_of_the_connection() && command.is_concerned(failure.cause) {",
        new="""
                    if failure.cause == Cause::Connection && is_known {
                        is_known = false;
                        self.source.renew(Some(number));
                        connection = self.source.connection().await?.1;
                        continue;
                    }
                    if failure.cause.is_of_the_connection() && command.is_concerned(failure.cause) {""",
        tests=["outages::a_check_without_a_reply_is_not_sent_again"],
    ),
    dict(
        name="redis: NOSCRIPT is an outage",
        file="redis/src/client.rs",
        old="ErrorKind::Server(ServerErrorKind::NoScript) if is_known =>",
        new="ErrorKind::Server(ServerErrorKind::NoScript) if !is_known =>",
        tests=["outages::a_flush_of_the_scripts_is_not_seen"],
    ),
    dict(
        name="redis: twenty timeouts open",
        file="redis/src/breaker.rs",
        old="state.timeouts < TIMEOUTS",
        new="state.timeouts < TIMEOUTS * 4",
        tests=["breaker::at_most_those_in_flight_and_five_are_delayed"],
    ),
    dict(
        name="redis: an open breaker asks each time",
        file="redis/src/breaker.rs",
        old="Some(open) => Err(open.known()),",
        new="Some(open) => Ok(Some(open.known())),",
        tests=["breaker::an_open_breaker_asks_once_in_each_interval"],
    ),
    dict(
        name="redis: a killed connection costs an interval",
        file="redis/src/breaker.rs",
        old="Cause::Connection => now,",
        new="Cause::Connection => now + INTERVAL,",
        tests=["breaker::a_killed_connection_costs_only_the_checks_in_flight"],
    ),
    dict(
        name="redis: a malformed key opens",
        file="redis/src/outage.rs",
        old="!matches!(self, Cause::Malformed | Cause::Moving)",
        new="!matches!(self, Cause::Moving)",
        tests=["breaker::a_malformed_key_opens_nothing"],
    ),
    dict(
        name="redis: an attempt ends with its caller",
        file="redis/src/client/source.rs",
        old="timeout(maker.timeout, (maker.make)()).await",
        new="timeout(Duration::from_millis(50), (maker.make)()).await",
        tests=["outages::a_slow_attempt_to_connect_goes_on_in_the_background"],
    ),
    dict(
        name="redis: a user who may not write is an unknown error",
        file="redis/src/client.rs",
        old='has("The user executing the script") || has("ACL failure in script")',
        new='has("no user")',
        tests=["recovery::a_user_may_not_run_scripts"],
    ),
    dict(
        name="redis: out of memory is an unknown error",
        file="redis/src/client.rs",
        old='Some("OOM") => Cause::OutOfMemory,',
        new='Some("OOM") => Cause::Server,',
        tests=["recovery::a_server_is_out_of_memory"],
    ),
    dict(
        name="redis: a connect timeout is a request's timeout",
        file="redis/src/client/source.rs",
        old='(ErrorKind::Io, "the attempt to connect took too long").into()',
        new="RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))",
        tests=["connections::an_attempt_that_panics_or_never_ends_is_followed_by_another"],
    ),
    dict(
        name="redis: a wrong password is a server error",
        file="redis/src/client.rs",
        old="ErrorKind::AuthenticationFailed => Cause::Forbidden,",
        new="ErrorKind::AuthenticationFailed => Cause::Server,",
        tests=["connections::a_wrong_password_is_told_and_a_mended_one_noticed"],
    ),
    dict(
        name="redis: verbatim text is not read",
        file="redis/src/client.rs",
        old="Value::SimpleString(text) | Value::VerbatimString { text, .. } => texts.push(text.clone()),",
        new="Value::SimpleString(text) => texts.push(text.clone()),",
        tests=["connections::the_database_and_the_protocol_of_an_address_count"],
    ),
    dict(
        name="redis: a broken connection waits for an interval in a cluster",
        file="redis/src/breaker.rs",
        old="Cause::Connection => now,",
        new="Cause::Connection if now < asked => now,",
        tests=["cluster::keys_of_living_nodes_go_on_when_a_node_is_dead"],
    ),
    dict(
        name="redis: renewing ends an attempt",
        file="redis/src/client/source.rs",
        old="if has_ended && number",
        new="if (has_ended || number.is_none()) && number",
        tests=["connections::callers_that_go_leave_the_attempt_to_connect"],
    ),
    dict(
        name="redis: a moving slot is an outage",
        file="redis/src/outage.rs",
        old="!matches!(self, Cause::Malformed | Cause::Moving)",
        new="!matches!(self, Cause::Malformed)",
        tests=["cluster::keys_of_living_nodes_go_on_when_a_node_is_dead"],
    ),
    dict(
        name="redis: NOSCRIPT is not followed by the text in a cluster",
        file="redis/src/client.rs",
        old="if is_known => is_known = false,",
        new="if is_known && redirections > 0 => is_known = false,",
        tests=["cluster::a_limit_is_exact_on_every_node"],
    ),
    dict(
        name="redis: an error of type is an outage of the store",
        file="redis/src/client.rs",
        old='Some("WRONGTYPE" | "TOLLGATE")',
        new='Some("TOLLGATE")',
        tests=["a_key_of_another_type_is_left_alone"],
    ),
    dict(
        name="redis: a side command that is forbidden replaces the connection",
        file="redis/src/client.rs",
        old="is_of_the_connection() && command.is_concerned(failure.cause) {",
        new="is_of_the_connection() {",
        tests=["a_user_who_may_only_run_the_script_has_no_outage"],
    ),
]
