//! Label selectors: the server finds what a plain evaluator of the same grammar finds.

use std::collections::BTreeMap;

use berth_tests::world::World;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug)]
enum Term {
    Has(&'static str),
    HasNot(&'static str),
    Is(&'static str, &'static str, bool),
    IsNot(&'static str, &'static str),
    In(&'static str, Vec<&'static str>),
    NotIn(&'static str, Vec<&'static str>),
}

impl Term {
    /// The grammar's meaning, as plainly as it can be said.
    fn holds(&self, labels: &Labels) -> bool {
        let value = |key: &str| labels.get(key).map(String::as_str);
        match self {
            Self::Has(key) => value(key).is_some(),
            Self::HasNot(key) => value(key).is_none(),
            Self::Is(key, wanted, _) => value(key) == Some(wanted),
            Self::IsNot(key, wanted) => value(key) != Some(wanted),
            Self::In(key, wanted) => value(key).is_some_and(|v| wanted.contains(&v)),
            Self::NotIn(key, wanted) => value(key).is_none_or(|v| !wanted.contains(&v)),
        }
    }

    fn text(&self, space: &str) -> String {
        match self {
            Self::Has(key) => (*key).to_owned(),
            Self::HasNot(key) => format!("!{key}"),
            Self::Is(key, value, false) => format!("{key}{space}={space}{value}"),
            Self::Is(key, value, true) => format!("{key}{space}=={space}{value}"),
            Self::IsNot(key, value) => format!("{key}{space}!={space}{value}"),
            Self::In(key, values) => format!("{key} in{space}({space}{})", values.join(&format!(",{space}"))),
            Self::NotIn(key, values) => format!("{key} notin ({})", values.join(&format!("{space},"))),
        }
    }
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "env", "example.com/tier", "x-1"])
}

fn value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["1", "2", "prod", "a.b_c-d"])
}

fn term() -> impl Strategy<Value = Term> {
    let some = || prop::collection::vec(value(), 1..4);
    prop_oneof![
        key().prop_map(Term::Has),
        key().prop_map(Term::HasNot),
        (key(), value(), any::<bool>()).prop_map(|(k, v, double)| Term::Is(k, v, double)),
        (key(), value()).prop_map(|(k, v)| Term::IsNot(k, v)),
        (key(), some()).prop_map(|(k, v)| Term::In(k, v)),
        (key(), some()).prop_map(|(k, v)| Term::NotIn(k, v)),
    ]
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_find_what_they_say() {
    let w = World::builder().hosts(0).start().await;
    let mut things: Vec<(i64, Labels)> = Vec::new();
    for n in 0..24_usize {
        let options = ["1", "2", "prod", "a.b_c-d", ""];
        let pick = |salt: usize| options[(n * 7 + salt * 3 + n / 5 * salt) % options.len()];
        let mut labels = Labels::new();
        for (salt, key) in ["a", "env", "example.com/tier", "x-1"].into_iter().enumerate() {
            if (n >> salt) & 1 == 1 {
                labels.insert(key.to_owned(), pick(salt).to_owned());
            }
        }
        let body = json!({"name": format!("key-{n}"), "public_key": berth_tests::world::public_key(), "labels": labels});
        let key = w.api.post("/v1/ssh_keys", body).await.expect(201);
        assert_eq!(key["ssh_key"]["labels"], json!(labels));
        things.push((key["ssh_key"]["id"].as_i64().expect("an id"), labels));
    }

    let runtime = tokio::runtime::Handle::current();
    let strategy = (prop::collection::vec(term(), 1..4), prop::sample::select(vec!["", " "]));
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let result = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&strategy, |(terms, space)| {
            let text = terms
                .iter()
                .map(|term| term.text(space))
                .collect::<Vec<_>>()
                .join(&format!("{space},{space}"));
            let path = format!("/v1/ssh_keys?per_page=50&label_selector={}", escape(&text));
            let answer = runtime.block_on(w.api.get(&path));
            prop_assert_eq!(answer.status, 200, "{} for {}", answer.body, text);
            let list = answer.body["ssh_keys"].as_array().cloned().unwrap_or_default();
            let found: Vec<_> = list.iter().filter_map(|key| key["id"].as_i64()).collect();
            let holds = |labels: &Labels| terms.iter().all(|term| term.holds(labels));
            let expected: Vec<_> =
                things.iter().filter(|(_, labels)| holds(labels)).map(|(id, _)| *id).collect();
            prop_assert_eq!(found, expected, "{}", text);
            Ok(())
        })
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    w.finish().await;
}
