BUGS = [
    dict(
        name="case 39: lines of X-Forwarded-For are read from the first",
        file="src/tower/key/forwarded.rs",
        old="headers.get_all(name).iter().rev()",
        new="headers.get_all(name).iter()",
        tests=[
            "trusted_hops_are_walked_from_the_right_over_all_lines",
            "nothing_that_a_client_sends_changes_who_it_is",
        ],
    ),
    dict(
        name="case 39: every peer is trusted, as by tower_governor",
        file="src/tower/key/address.rs",
        old="network.contains(&client)",
        new="network.contains(&client) || client == peer",
        tests=["an_untrusted_peer_is_the_client_whatever_it_says"],
    ),
    dict(
        name="case 39: a hop that is not an address is skipped, as by axum-governor",
        file="src/tower/key/address.rs",
        old="Some(None) | None => break,",
        new="""
Some(None) => {}
                None => break,""",
        tests=[
            "a_hop_that_is_no_address_ends_the_walk_where_it_stands",
            "forwarded_is_walked_alike",
        ],
    ),
    dict(
        name="case 39: one byte that is not text makes the whole line unreadable",
        file="src/tower/key/forwarded.rs",
        old="Some(line.as_bytes())",
        new="line.to_str().ok().map(str::as_bytes)",
        how="expression",
        tests=["a_hop_that_is_no_address_ends_the_walk_where_it_stands"],
    ),
    dict(
        name="case 39: a byte that is not text beside the node ends the walk",
        file="src/tower/key/forwarded.rs",
        old="Syntax::Forwarded => forwarded_for(element),",
        new="""
Syntax::Forwarded => std::str::from_utf8(element)
                .ok().and_then(|_| forwarded_for(element)),""",
        tests=["what_is_no_text_beside_the_node_hides_nobody"],
    ),
    dict(
        name="case 39: quoted separators separate",
        file="src/tower/key/forwarded.rs",
        old="if *byte == b'\"' {",
        new="if false {",
        tests=["forwarded_is_walked_alike"],
    ),
    dict(
        name="case 39: an escaped quote ends a quoted string",
        file="src/tower/key/forwarded.rs",
        old="if !is_quoted || backslashes % 2 == 0 {",
        new="if !is_quoted || backslashes < 9 {",
        tests=["forwarded_is_walked_alike"],
    ),
    dict(
        name="case 40: a peer that is IPv4 written as IPv6 stays so",
        file="src/tower/key/address.rs",
        old="""
            .ok_or(KeyError::Missing)?
            .to_canonical();""",
        new="            .ok_or(KeyError::Missing)?;",
        tests=["an_ipv4_address_written_as_ipv6_is_the_ipv4_address"],
    ),
    dict(
        name="case 40: a hop that is IPv4 written as IPv6 stays so",
        file="src/tower/key/forwarded.rs",
        old="Some(address.to_canonical())",
        new="Some(address)",
        tests=["an_ipv4_address_written_as_ipv6_is_the_ipv4_address"],
    ),
    dict(
        name="case 41: each IPv6 address is a client",
        file="src/tower/key/address.rs",
        old="ipv6_prefix: 64,",
        new="ipv6_prefix: 128,",
        tests=["ipv6_clients_are_grouped_by_prefix_and_ipv4_ones_are_not"],
    ),
    dict(
        name="case 42: a malformed key falls back to the next key",
        file="src/tower/key/combine.rs",
        old="            Err(KeyError::Missing) =>",
        new="            Err(KeyError::Missing | KeyError::Malformed) =>",
        tests=["a_malformed_key_is_refused_whatever_becomes_of_those_without_one"],
    ),
    dict(
        name="keys: a key that is too long falls back to the next key",
        file="src/tower/key/combine.rs",
        old="            Err(KeyError::Missing) =>",
        new="            Err(KeyError::Missing | KeyError::TooLong { .. }) =>",
        tests=["a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule"],
    ),
    dict(
        name="keys: an absent key hides a malformed one beside it",
        file="src/tower/key/combine.rs",
        old="(Err(KeyError::Missing), Err(error)) | (Err(error), _) | (Ok(_), Err(error)) => {",
        new="(Err(error), _) | (Ok(_), Err(error)) => {",
        tests=["a_malformed_key_is_refused_whatever_becomes_of_those_without_one"],
    ),
    dict(
        name="case 78: a key that is too long is called malformed",
        file="src/tower/key/header.rs",
        old="return Err(KeyError::TooLong { max_len });",
        new="""
_ = max_len;
            return Err(KeyError::Malformed);""",
        tests=["a_key_that_is_too_long_says_so_and_is_rejected_whatever_the_rule"],
    ),
    dict(
        name="hosts: the target is ignored, as if HTTP/2 had a Host field",
        file="src/tower/key/host.rs",
        old="let target = request.uri.authority();",
        new="let target = request.uri.authority().filter(|_| false);",
        tests=[
            "a_host_has_one_bucket_in_all_spellings_and_versions",
            "a_request_that_names_two_hosts_is_rejected",
        ],
    ),
    dict(
        name="hosts: upper case is another host",
        file="src/tower/key/host.rs",
        old="if name.bytes().any(|byte| byte.is_ascii_uppercase()) {",
        new="if false {",
        tests=["a_host_has_one_bucket_in_all_spellings_and_versions"],
    ),
    dict(
        name="hosts: a final dot makes another host, or none",
        file="src/tower/key/host.rs",
        old="name.strip_suffix('.').unwrap_or(name);",
        new="name;",
        tests=["a_host_has_one_bucket_in_all_spellings_and_versions"],
    ),
    dict(
        name="hosts: target and header may name two hosts",
        file="src/tower/key/host.rs",
        old="(Some(target), Some(line)) if target != line",
        new="(Some(target), Some(line)) if false && target != line",
        tests=["a_request_that_names_two_hosts_is_rejected"],
    ),
    dict(
        name="hosts: the first of two Host lines counts",
        file="src/tower/key/host.rs",
        old="if lines.next().is_some() {",
        new="if false {",
        tests=["a_request_that_names_two_hosts_is_rejected"],
    ),
    dict(
        name="hosts: a malformed name is a key",
        file="src/tower/key/host.rs",
        old="|| !name.split('.').all(is_label) {",
        new="{",
        tests=["a_host_that_is_malformed_is_rejected_and_never_absent"],
    ),
    dict(
        name="hosts: a malformed host is an absent one",
        file="src/tower/key/host.rs",
        old="""
    if !is_port(port) || !name.split('.').all(is_label) {
        return Err(KeyError::Malformed);""",
        new="""
    if !is_port(port) || !name.split('.').all(is_label) {
        return Err(KeyError::Missing);""",
        tests=["a_host_that_is_malformed_is_rejected_and_never_absent"],
    ),
    dict(
        name="hosts: a name has no bound",
        file="src/tower/key/host.rs",
        old="if name.len() > MAX_LEN {",
        new="if false {",
        tests=["a_host_is_bounded_by_what_a_name_can_be"],
    ),
    dict(
        name="case 44: a key may be as long as a header",
        file="src/tower/key/header.rs",
        old="if value.len() > self.max_len {",
        new="if false {",
        tests=[
            "a_header_is_a_key_only_if_there_is_no_doubt_about_it",
            "garbage_is_refused_and_leaves_nothing_behind",
        ],
    ),
]
