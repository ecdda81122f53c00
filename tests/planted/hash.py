BUGS = [
    dict(
        name="hash: one folded product, with which some seeds cluster structured keys",
        file="src/hash.rs",
        old="use foldhash::{SharedSeed, quality};",
        new="use foldhash::{SharedSeed, fast as quality};",
        tests=["structured_keys_spread_as_under_a_random_function"],
    ),
    dict(
        name="case 46: all limiters of a process have one seed",
        file="src/hash.rs",
        old="RandomState::with_seeds(random(), shared)",
        new="RandomState::with_seeds(0, shared)",
        tests=["no_two_limiters_hash_alike"],
    ),
]
