//! `README.md` of the tests names tests that exist, and each test of `cases/` in the row of its case.

use std::{fs, path::PathBuf};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Returns the rows of all tables in the README.
fn rows() -> Vec<String> {
    let readme = fs::read_to_string(directory().join("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with('|'));
    rows.map(str::to_owned).collect()
}

#[test]
fn each_file_and_test_that_the_readme_names_exists() {
    let mut named = 0;
    let rows = rows();
    // The texts between backticks.
    let code = rows
        .iter()
        .flat_map(|row| row.split('`').skip(1).step_by(2));
    for place in code.filter(|place| place.contains(".rs") && !place.contains('*')) {
        let (file, test) = place.split_once("::").unwrap_or((place, ""));
        let source = fs::read_to_string(directory().join(file));
        let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
        let is_there = test.is_empty() || source.contains(&format!("fn {test}("));
        assert!(is_there, "{file} has no {test}");
        named += usize::from(!test.is_empty());
    }
    assert!(named > 80, "only {named} tests are named");
}

#[test]
fn each_test_of_a_case_is_in_the_row_of_that_case() {
    let rows = rows();
    let mut found = 0;
    for entry in fs::read_dir(directory().join("cases")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let source = fs::read_to_string(&path).unwrap();
        for item in source
            .split("\n\n")
            .filter(|item| item.starts_with("/// Case"))
        {
            let (_, rest) = item.split_once("\nfn ").expect("a test");
            let test = rest.split('(').next().unwrap();
            let numbers = item.split('.').next().unwrap();
            let numbers = numbers.split(|c: char| !c.is_ascii_digit());
            for number in numbers.filter(|number| !number.is_empty()) {
                let row = rows
                    .iter()
                    .find(|row| row.starts_with(&format!("| {number} | ")));
                let row = row.unwrap_or_else(|| panic!("case {number} has no row"));
                let place = format!("`cases/{file}::{test}`");
                assert!(
                    row.contains(&place),
                    "the row of case {number} lacks {place}"
                );
                found += 1;
            }
        }
    }
    assert!(found > 60, "only {found} tests of cases are found");
}
