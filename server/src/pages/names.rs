//! A name for a new server, so that the field is never empty: an adjective and a thing of the harbour.

use rand::seq::IndexedRandom as _;

const HOW: [&str; 24] = [
    "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "crisp", "deep", "eager", "fair", "fleet",
    "gentle", "keen", "kind", "light", "merry", "quick", "quiet", "sharp", "silver", "steady", "swift",
    "warm",
];
const WHAT: [&str; 24] = [
    "anchor", "barge", "beacon", "bollard", "bridge", "buoy", "cape", "clipper", "cove", "cutter", "delta",
    "dinghy", "dock", "ferry", "gull", "harbour", "heron", "isle", "lagoon", "pier", "reef", "schooner",
    "sloop", "tide",
];

/// A suggestion that is not among `taken`, if one is found soon.
pub(super) fn suggest(taken: &[String]) -> String {
    let mut rng = rand::rng();
    let mut pick = || {
        let word = |words: &[&'static str], rng: &mut rand::rngs::ThreadRng| {
            words.choose(rng).copied().unwrap_or("new")
        };
        format!("{}-{}", word(&HOW, &mut rng), word(&WHAT, &mut rng))
    };
    let free = (0..20).map(|_| pick()).find(|name| !taken.contains(name));
    free.unwrap_or_else(|| format!("{}-{}", pick(), taken.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::VpsName;

    #[test]
    fn every_word_makes_a_name_and_the_taken_ones_are_avoided() {
        for how in HOW {
            for what in WHAT {
                assert!(VpsName::parse(&format!("{how}-{what}")).is_ok());
            }
        }
        let taken: Vec<_> = HOW.iter().flat_map(|h| WHAT.iter().map(move |w| format!("{h}-{w}"))).collect();
        let name = suggest(&taken);
        assert!(!taken.contains(&name) && VpsName::parse(&name).is_ok(), "{name}");
    }
}
