//! The bodies of the fuzz targets, without the fuzzer, so that `cargo test` can run the seeds.

#[path = "../../tests/common/bounds.rs"]
mod bounds;
pub mod client_address;
pub mod input;
mod judge;
pub mod operations;
#[path = "../../tests/common/oracle.rs"]
pub mod oracle;
pub mod shared;
mod subject;
pub mod text;
mod tiered;
pub mod tiered_input;
#[path = "../../tests/common/tiers.rs"]
pub mod tiers;
mod timed;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use arbitrary::{Arbitrary, Unstructured};

    /// Runs the seeds of a target, and the failures that the fuzzer once found.
    fn corpus<T: for<'a> Arbitrary<'a>>(target: &str, run: fn(&T)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        let mut files = 0;
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            println!("{}", path.display());
            let bytes = fs::read(path).unwrap();
            run(&T::arbitrary_take_rest(Unstructured::new(&bytes)).unwrap());
            files += 1;
        }
        assert!(files > 0);
    }

    #[test]
    fn every_seed_of_client_address_holds() {
        corpus("client_address", crate::client_address::run);
    }

    #[test]
    fn every_seed_of_operations_holds() {
        corpus("operations", crate::operations::run);
    }

    #[test]
    fn every_seed_of_shared_holds() {
        corpus("shared", crate::shared::run);
    }

    #[test]
    fn every_seed_of_text_holds() {
        corpus("text", crate::text::run);
    }
}
