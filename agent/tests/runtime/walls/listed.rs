//! SECURITY.md's lists and the tests are the same: nothing is claimed that is not tried, nothing is tried in silence.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{attacks, calls, sweep};
use crate::shapes;

const PLACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runtime");

/// The rows of the table below a heading, each as its cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../SECURITY.md")).unwrap();
    let rest = text
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no {heading} in SECURITY.md"))
        .1;
    let section = rest.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What the escape checker may say, by its names.
pub(super) fn findings() -> BTreeSet<String> {
    let rows = table("What an escape checker says");
    rows.iter().flat_map(|row| row[0].split(", ").map(|id| id.trim_matches('`').to_owned())).collect()
}

#[test]
fn security_md_lists_every_attack_with_its_wall_and_its_test() {
    let rows = table("Attacks that are tried");
    let listed: BTreeSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(listed.len(), rows.len(), "an attack is listed twice");
    for row in &rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "attack, wall, test: {row:?}");
    }
    let refused = attacks::REFUSED.iter().map(|(name, _)| *name);
    let called = calls::CALLS.iter().map(|(name, ..)| *name).chain([calls::BY_32_BITS, calls::VSOCK]);
    let swept = [sweep::SETTINGS, sweep::KNOBS, sweep::FILE_SYSTEMS, sweep::DEVICES];
    let tried: BTreeSet<&str> = refused.chain(called).chain(swept).chain(shapes::names()).collect();
    let missing: Vec<_> = tried.difference(&listed).collect();
    assert!(missing.is_empty(), "tried, and not in SECURITY.md: {missing:#?}");

    let tests = tests();
    // A star stands for both versions of Debian.
    let both = |name: &str| ["12", "13"].map(|version| name.trim_matches('`').replace('*', version));
    let claimed: BTreeSet<String> = rows.iter().flat_map(|row| row[2].split(", ")).flat_map(both).collect();
    let imagined: Vec<_> = claimed.iter().filter(|name| !tests.contains(*name)).collect();
    assert!(imagined.is_empty(), "in SECURITY.md, and no test: {imagined:#?}");
    // What is in no table of attacks is a test of its own, so every test of these files is named.
    let silent: Vec<_> = tests
        .iter()
        .filter(|name| {
            ["walls::", "hostile::", "shapes::", "archives::"].iter().any(|file| name.starts_with(file))
        })
        .filter(|name| !name.starts_with("walls::listed::") && !claimed.contains(*name))
        .filter(|name| !NO_ATTACKS.contains(&name.as_str()))
        .collect();
    assert!(silent.is_empty(), "tests that SECURITY.md does not name: {silent:#?}");
}

/// Tests of the same files that try no attack.
const NO_ATTACKS: &[&str] = &[
    "archives::all_formats_give_the_same_template",
    "shapes::the_list_of_paths_is_complete",
    "hostile::an_image_without_a_usable_init_says_so",
    "walls::checker::an_escape_checker_finds_nothing_unexplained_in_a_debian_12",
    "walls::checker::an_escape_checker_finds_nothing_unexplained_in_a_debian_13",
];

/// All tests of this binary, by their names.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for dir in [PLACE.to_owned(), format!("{PLACE}/walls")] {
        for file in
            fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_file())
        {
            let module = module(&file);
            let text = fs::read_to_string(&file).unwrap();
            let after = text.split("#[test]\n").skip(1);
            let names =
                after.filter_map(|rest| rest.split_once("fn ")?.1.split_once('(')).map(|(name, _)| name);
            found.extend(names.map(|name| format!("{module}{name}")));
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

/// `walls/mod.rs` is `walls::`.
fn module(file: &Path) -> String {
    let inner = file.strip_prefix(PLACE).unwrap().with_extension("");
    inner
        .iter()
        .map(|part| part.to_string_lossy())
        .filter(|part| part != "mod")
        .map(|part| format!("{part}::"))
        .collect()
}
