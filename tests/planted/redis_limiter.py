"""tollgate-redis: decisions, outages, shares, and the cache of denied keys."""

BUGS = [
    dict(
        name="redis: a check without a runtime panics",
        file="redis/src/limiter.rs",
        old="""
        if Handle::try_current().is_err() {
            let cause""",
        new="""
        if Handle::try_current().is_err() && asked.elapsed().is_zero() && false {
            let cause""",
        tests=["a_check_without_a_runtime_is_an_outage"],
    ),
    dict(
        name="redis: a timeout is not renewed",
        file="redis/src/limiter.rs",
        old="""
            self.client.renew();
""",
        new="",
        tests=["outages::no_fault_of_the_network_delays_a_check_beyond_the_deadline"],
    ),
    dict(
        name="redis: no deadline around a request",
        file="redis/src/limiter.rs",
        old="timeout(self.settings.deadline, request).await",
        new="timeout(self.settings.deadline * 2, request).await",
        tests=["outages::a_hung_server_delays_no_check_beyond_the_deadline"],
    ),
    dict(
        name="redis: a late deadline",
        file="redis/src/limiter.rs",
        old="timeout(self.settings.deadline, request).await",
        new="timeout(self.settings.deadline + Duration::from_millis(9), request).await",
        tests=["outages::a_hung_server_delays_no_check_beyond_the_deadline"],
    ),
    dict(
        name="redis: units are lost that could not be charged",
        file="redis/src/limiter/charge.rs",
        old="share.put_back(mem::take(&mut self.name), self.n);",
        new="_ = (share, mem::take(&mut self.name));",
        tests=["local::what_could_not_be_charged_is_charged_later"],
    ),
    dict(
        name="redis: nothing is charged without a check",
        file="redis/src/limiter.rs",
        old="tokio::spawn(charge::attend(Arc::downgrade(self), outage));",
        new="_ = (charge::attend(Arc::downgrade(self), outage), 0);",
        tests=["local::what_was_admitted_is_charged_also_if_no_check_follows"],
    ),
    dict(
        name="redis: nothing is charged",
        file="redis/src/limiter/charge.rs",
        old="if !self.charge(share.take_uncharged()).await {",
        new="""
_ = share.take_uncharged();
            if false {""",
        tests=["local::four_nodes_admit_no_more_than_the_rate_and_charge_it"],
    ),
    dict(
        name="redis: a probe spends before all is charged",
        file="redis/src/limiter.rs",
        old="share.is_some_and(|share| !share.is_untouched())",
        new="share.is_some_and(|share| share.is_untouched() && false)",
        tests=["local::no_check_is_decided_by_the_store_before_all_is_charged"],
    ),
    dict(
        name="redis: a share never freezes",
        file="redis/src/limiter/charge.rs",
        old="share.freeze(true);",
        new="share.freeze(false);",
        tests=["local::an_outage_ends_under_load"],
    ),
    dict(
        name="redis: a share stays frozen",
        file="redis/src/share.rs",
        old="if longest != Some(0) || is_full || *is_frozen {",
        new="if longest != Some(0) || is_full {",
        tests=["local::an_outage_ends_under_load"],
    ),
    dict(
        name="redis: a share begins full",
        file="redis/src/share.rs",
        old="map_or((0, depth), |admitted|",
        new="map_or((0, 0), |admitted|",
        tests=["local::four_nodes_admit_no_more_than_the_rate_and_charge_it"],
    ),
    dict(
        name="redis: each node takes the whole rate",
        file="redis/src/share.rs",
        old="rate: u128::from(quota.units()) * 1_000,",
        new="rate: u128::from(quota.units()) * 1_000 * u128::from(nodes.get()),",
        tests=["local::four_nodes_admit_no_more_than_the_rate_and_charge_it"],
    ),
    dict(
        name="redis: denials are not cached",
        file="redis/src/denied.rs",
        old="if self.capacity == 0 {",
        new="if self.capacity > 0 {",
        tests=["denied::a_flood_of_a_denied_key_is_answered_from_the_cache"],
    ),
    dict(
        name="redis: the cache is forgotten by no outage",
        file="redis/src/limiter.rs",
        old="""
        self.denied.clear();
""",
        new="",
        tests=["denied::a_store_that_lost_its_data_is_asked_again"],
    ),
    dict(
        name="redis: forget leaves the cache",
        file="redis/src/limiter.rs",
        old="""
        inner.denied.remove(&name);
        let result = inner.ask(inner.client.remove(&name)).await;
        inner.denied.remove(&name);
""",
        new="""
        let result = inner.ask(inner.client.remove(&name)).await;
""",
        tests=["denied::a_forgotten_key_is_not_denied_from_the_cache"],
    ),
    dict(
        name="redis: a cached denial is of its question",
        file="redis/src/denied.rs",
        old="Some(self.after(now.saturating_duration_since(self.replied), terms))",
        new="Some(self.after(now.saturating_duration_since(self.asked) * 2, terms))",
        tests=["denied::a_cached_denial_has_the_numbers_of_the_store"],
    ),
    dict(
        name="redis: a cached denial is for any number",
        file="redis/src/denied.rs",
        old="terms.lacks(*debt, n);",
        new="terms.lacks(*debt, n + 9);",
        tests=["denied::a_denial_of_more_units_does_not_deny_fewer"],
    ),
    dict(
        name="redis: the cache is not bounded",
        file="redis/src/denied.rs",
        old="if young.len() >= half",
        new="if young.len() >= half * 4",
        tests=["denied::the_cache_holds_no_more_keys_than_it_may"],
    ),
    dict(
        name="redis: what was removed comes back",
        file="redis/src/denied.rs",
        old="if state.removals != ticket.removals {",
        new="if state.removals < ticket.removals {",
        tests=["denied::tests::what_was_asked_before_a_removal_is_not_cached"],
    ),
    dict(
        name="redis: a tick of the store is forgotten",
        file="redis/src/denied.rs",
        old=" + Duration::from_micros(1);",
        new=";",
        tests=["denied::tests::a_tick_of_the_store_is_allowed_for"],
    ),
    dict(
        name="redis: every undecided request is told",
        file="redis/src/report.rs",
        old="now.saturating_duration_since(at) >= INTERVAL",
        new="now.saturating_duration_since(at) >= INTERVAL / 10",
        tests=["warnings::an_outage_is_told_of_when_it_begins_once_a_minute_and_when_it_ends"],
    ),
    dict(
        name="redis: a malformed key hides an outage",
        file="redis/src/report.rs",
        old="""
            &self.keys
        };""",
        new="""
            &self.outage
        };""",
        tests=["warnings::a_malformed_key_is_no_outage_of_the_store"],
    ),
    dict(
        name="redis: every end is told",
        file="redis/src/report.rs",
        old="""
        told.is_open = false;
""",
        new="",
        tests=["warnings::short_outages_are_not_told_of_each_time"],
    ),
    dict(
        name="redis: eviction is not told",
        file="redis/src/health.rs",
        old='find(|policy| *policy != "noeviction")',
        new='find(|policy| *policy == "noeviction")',
        tests=["warnings::a_store_that_evicts_is_told_of_at_the_first_check"],
    ),
    dict(
        name="redis: an inspection counts as a check",
        file="redis/src/limiter.rs",
        old="let texts = texts.unwrap_or_else(|_| Err(Failure::timeout()));",
        new="""
let texts = texts.unwrap_or_else(|_| Err(Failure::timeout()));
        if let Err(failure) = &texts {
            self.breaker.failed(failure.cause, Instant::now() + Duration::from_secs(1), Instant::now());
        }""",
        tests=["connections::a_user_needs_no_right_but_those_of_a_check"],
    ),
    dict(
        name="redis: a failed inspection repeats at once",
        file="redis/src/limiter.rs",
        old="sleep(INSPECTION).await;",
        new="sleep(Duration::ZERO).await;",
        tests=["connections::a_user_needs_no_right_but_those_of_a_check"],
    ),
    dict(
        name="redis: the wait of the local share is lost",
        file="redis/src/limiter.rs",
        old="Verdict::Denied { retry_after } => Fallback::Reject { retry_after },",
        new="Verdict::Denied { .. } => Fallback::Reject { retry_after: None },",
        tests=["a_denial_by_the_local_share_is_503_with_its_wait"],
    ),
    dict(
        name="redis: an allowed outage is rejected",
        file="redis/src/limiter.rs",
        old="Verdict::Allowed => Fallback::Allow,",
        new="Verdict::Allowed => Fallback::Reject { retry_after: None },",
        tests=["an_outage_passes_or_is_503_as_the_limiter_says"],
    ),
    dict(
        name="redis: OnOutage::Deny allows",
        file="redis/src/limiter.rs",
        old="(OnOutage::Deny | OnOutage::Local { .. }, _) => Verdict::Denied { retry_after: None },",
        new="(OnOutage::Deny | OnOutage::Local { .. }, _) => Verdict::Allowed,",
        tests=["an_outage_passes_or_is_503_as_the_limiter_says"],
    ),
    dict(
        name="redis: the layer knows the first quota only",
        file="redis/src/limiter.rs",
        old="""
        self.policy().quotas().to_vec()
""",
        new="""
        self.policy().quotas()[..1].to_vec()
""",
        tests=["by_a_header_all_is_as_with_a_limiter_in_memory"],
    ),
    dict(
        name="redis: a cached denial allows",
        file="redis/src/limiter.rs",
        old="self.decision(&reply, n, false).map(Decision::from_cache)",
        new="self.decision(&reply, 1, true).map(Decision::from_cache)",
        tests=["a_request_and_a_check_share_the_bucket_of_a_key"],
    ),
    dict(
        name="redis: each request of an outage is warned of",
        file="redis/src/report.rs",
        old="const INTERVAL: Duration = Duration::from_secs(60);",
        new="const INTERVAL: Duration = Duration::ZERO;",
        tests=["the_limiter_alone_warns_of_an_outage"],
    ),
    dict(
        name="redis: a cached denial lasts too long",
        file="redis/src/denied.rs",
        old="let longest = age + age / 1_000",
        new="let longest = age / 200 + age / 1_000",
        tests=["denied::tests::a_denial_is_cached_until_the_store_might_allow"],
    ),
    dict(
        name="redis: a check that is dropped tells nothing",
        file="redis/src/limiter.rs",
        old="if !self.is_over && has_waited &&",
        new="if !self.is_over && has_waited && self.asked > now &&",
        tests=["checks_that_are_dropped_before_their_deadline_reveal_an_outage_too"],
    ),
]
