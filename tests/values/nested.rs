//! Refs inside values stay refs, however deep; refs as arguments are resolved.

use std::collections::HashMap;

use mobula::prelude::*;
use serde::{Deserialize, Serialize};

use super::support::{Gate, all_space_back, get, pass, start, stats};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    parts: Vec<ObjectRef<Vec<i64>>>,
    named: HashMap<String, Option<ObjectRef<String>>>,
    inner: Option<Box<Work>>,
}

struct Summer {
    kept: Vec<ObjectRef<Vec<i64>>>,
}

#[mobula::actor]
impl Summer {
    pub fn new() -> Self {
        Summer { kept: Vec::new() }
    }

    pub fn sum(&self, work: Work) -> Result<(i64, usize), mobula::Error> {
        let mut total = 0;
        let mut letters = 0;
        let mut next = Some(work);
        while let Some(work) = next {
            total += mobula::get_all(&work.parts)?.into_iter().flatten().sum::<i64>();
            for text in work.named.values().flatten() {
                letters += mobula::get(text)?.len();
            }
            next = work.inner.map(|inner| *inner);
        }
        Ok((total, letters))
    }

    pub fn resolved(&self, first: Vec<i64>, second: Vec<i64>, scale: i64) -> i64 {
        scale * (first.iter().sum::<i64>() - second.iter().sum::<i64>())
    }

    pub fn keep(&mut self, parts: Vec<ObjectRef<Vec<i64>>>) {
        self.kept = parts;
    }

    pub fn give(&self) -> Vec<ObjectRef<Vec<i64>>> {
        self.kept.clone()
    }

    pub fn forget(&mut self) {
        self.kept.clear();
    }

    pub fn unwrap_twice(&self, outer: ObjectRef<ObjectRef<i64>>) -> Result<i64, mobula::Error> {
        mobula::get(&mobula::get(&outer)?)
    }

    pub fn behind(&self, gate: String, value: i64) -> i64 {
        pass(&gate);
        value
    }

    pub fn ids(&self, refs: Vec<ObjectRef<i64>>) -> Vec<String> {
        refs.iter().map(ToString::to_string).collect()
    }
}

#[mobula::test]
fn refs_deep_inside_values_are_kept_and_can_be_read() {
    let _runtime = start();
    let before = stats();
    {
        let summer = Summer::remote().unwrap();
        let part = |from: i64, count: usize| mobula::put(&vec![from; count]).unwrap();
        // Small values, which live in this process until they leave it, and large ones.
        let work = Work {
            parts: vec![part(1, 3), part(2, 10_000)],
            named: HashMap::from([("a".into(), Some(mobula::put(&"abc".to_owned()).unwrap())), ("b".into(), None)]),
            inner: Some(Box::new(Work {
                parts: vec![part(5, 2)],
                named: HashMap::from([("c".into(), Some(mobula::put(&"x".repeat(5000)).unwrap()))]),
                inner: None,
            })),
        };
        assert_eq!(get(&summer.sum(work.clone()).remote()).unwrap(), (3 + 20_000 + 10, 5003));
        // The value itself behind a ref: its refs live as long as it does.
        let stored = mobula::put(&work).unwrap();
        drop(work);
        assert_eq!(get(&summer.sum(&stored).remote()).unwrap(), (3 + 20_000 + 10, 5003));
    }
    all_space_back(before);
}

#[mobula::test]
fn several_refs_and_values_mix_as_arguments() {
    let _runtime = start();
    let summer = Summer::remote().unwrap();
    let (small, large) = (mobula::put(&vec![1, 2]).unwrap(), mobula::put(&vec![1i64; 5000]).unwrap());
    assert_eq!(get(&summer.resolved(&large, &small, 2).remote()).unwrap(), 2 * 4997);
    assert_eq!(get(&summer.resolved(vec![4], &large, 1).remote()).unwrap(), 4 - 5000);
    assert_eq!(get(&summer.resolved(&small, &small, 7).remote()).unwrap(), 0, "the same ref twice");
    let scale = summer.resolved(vec![3], Vec::new(), 1).remote();
    assert_eq!(get(&summer.resolved(vec![2], vec![1], &scale).remote()).unwrap(), 3);
}

#[mobula::test]
fn refs_that_an_actor_keeps_outlive_those_of_their_maker() {
    let _runtime = start();
    let before = stats();
    {
        let summer = Summer::remote().unwrap();
        let parts = vec![mobula::put(&vec![1i64; 10_000]).unwrap(), mobula::put(&vec![2i64; 3]).unwrap()];
        get(&summer.keep(parts).remote()).unwrap();
        let back = get(&summer.give().remote()).unwrap();
        assert_eq!(mobula::get_all(&back).unwrap()[1], [2; 3]);
        assert_eq!(mobula::get(&back[0]).unwrap().len(), 10_000);
        get(&summer.forget().remote()).unwrap();
        assert_eq!(mobula::get(&back[0]).unwrap().len(), 10_000, "now these are the last");
    }
    all_space_back(before);
}

#[mobula::test]
fn refs_of_refs_and_of_results_that_are_not_there_yet() {
    let _runtime = start();
    let (summer, slow) = (Summer::remote().unwrap(), Summer::remote().unwrap());
    let gate = Gate::new();
    let late = slow.behind(gate.text(), 11).remote();
    let outer = mobula::put(&late).unwrap();
    let nested = summer.unwrap_twice(&outer).remote();
    gate.open();
    assert_eq!(get(&nested).unwrap(), 11);
    assert_eq!(mobula::get(&late).unwrap(), 11);
    assert_eq!(mobula::get(&mobula::get(&outer).unwrap()).unwrap(), 11);
}

#[mobula::test]
fn a_ref_keeps_its_identity_wherever_it_goes() {
    let _runtime = start();
    let summer = Summer::remote().unwrap();
    let refs: Vec<_> = (0..50).map(|value| mobula::put(&value).unwrap()).collect();
    let ids: Vec<_> = refs.iter().map(ToString::to_string).collect();
    assert_eq!(get(&summer.ids(refs.clone()).remote()).unwrap(), ids);
    let back: Vec<ObjectRef<i64>> = mobula::get(&mobula::put(&refs).unwrap()).unwrap();
    assert_eq!(back, refs);
    assert!(ids[0].len() == 32 && ids[0].bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
}

#[mobula::test]
fn more_refs_than_one_message_can_name_still_travel() {
    let _runtime = start();
    let summer = Summer::remote().unwrap();
    let refs: Vec<_> = (0..2000).map(|value| mobula::put(&value).unwrap()).collect();
    let ids = get(&summer.ids(refs.clone()).remote()).unwrap();
    assert_eq!(ids.len(), 2000);
    assert_eq!(ids[1999], refs[1999].to_string());
}
