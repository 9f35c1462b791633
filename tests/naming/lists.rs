//! `list_named_actors`.

use mobula::prelude::*;

use super::Counter;
use super::support::{config, get};

fn names(all: bool) -> Vec<(String, String)> {
    mobula::list_named_actors(all).unwrap().into_iter().map(|actor| (actor.namespace, actor.name)).collect()
}

#[mobula::task]
fn count(all: bool) -> usize {
    names(all).len()
}

#[mobula::test]
fn the_names_of_a_namespace_or_of_all_are_listed_in_order() {
    let _runtime = mobula::init(config(2.0).namespace("here")).unwrap();
    assert!(names(true).is_empty());
    let make = |name: &str, namespace: &str| Counter::options().name(name).namespace(namespace).remote(0).unwrap();
    let all: [ActorHandle<Counter>; 4] = [make("b", "here"), make("a", "there"), make("a", "here"), make("c", "x")];
    let _nameless = Counter::remote(0).unwrap();
    let pair = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
    assert_eq!(names(false), [pair("here", "a"), pair("here", "b")]);
    assert_eq!(names(true), [pair("here", "a"), pair("here", "b"), pair("there", "a"), pair("x", "c")]);
    assert_eq!((get(&count::remote(false)).unwrap(), get(&count::remote(true)).unwrap()), (2, 4));
    mobula::kill(&all[0]).unwrap();
    assert_eq!(names(false), [pair("here", "a")]);
    assert_eq!(names(true).len(), 3);
}

#[mobula::test]
fn a_list_is_as_long_as_it_must_be() {
    let _runtime = mobula::init(config(2.0)).unwrap();
    let never = super::never::remote();
    // They are listed from the beginning, though their arguments never come.
    let made: Vec<_> =
        (0..500).map(|number| Counter::options().name(format!("{number:01000}")).remote(&never).unwrap()).collect();
    for _ in 0..3 {
        let names = names(false);
        assert!(names.iter().map(|(_, name)| name.parse::<usize>().unwrap()).eq(0..500));
    }
    drop(made);
    drop(never);
}
