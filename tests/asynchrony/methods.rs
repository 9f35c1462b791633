//! `async` methods: results, errors, arguments, contexts, state.

use std::collections::HashMap;
use std::sync::Mutex;

use mobula::prelude::*;

use super::support::{Gate, eventually, get, start};
use super::{Hall, after, opens};

struct Shelf {
    name: String,
    places: Mutex<HashMap<String, u64>>,
}

#[mobula::actor]
impl Shelf {
    pub fn new(name: String) -> Self {
        Shelf { name, places: Mutex::default() }
    }

    pub async fn set(&self, key: String, value: u64) -> Option<u64> {
        self.places.lock().unwrap().insert(key, value)
    }

    pub async fn get(&self, key: String) -> Result<u64, String> {
        self.places.lock().unwrap().get(&key).copied().ok_or_else(|| format!("nothing at {key}"))
    }

    /// Is not `async`, and runs beside those that are.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    #[mobula::method(num_returns = 2)]
    pub async fn two(&self, gate: String) -> (u32, String) {
        opens(&gate).await;
        (2, "two".to_owned())
    }

    pub async fn nothing(&self) {}

    pub async fn panics(&self, gate: String) -> u64 {
        opens(&gate).await;
        panic!("in the midst of it")
    }

    /// Awaits its own calls, tasks and refs inside of arguments.
    pub async fn sum(&self, refs: Vec<ObjectRef<u64>>) -> mobula::Result<u64> {
        let me = mobula::context().current_actor::<Shelf>();
        let mut sum = 0;
        for object in refs {
            sum += object.await?;
        }
        me.set("sum".to_owned(), sum).await?;
        me.get("sum".to_owned()).await
    }

    pub async fn scale(&self, numbers: Array<f64>, by: f64) -> Array<f64> {
        mobula::sleep(std::time::Duration::from_millis(1)).await;
        Array::from_slice(&numbers.iter().map(|number| number * by).collect::<Vec<_>>()).unwrap()
    }

    /// Its ids before and after it has waited.
    pub async fn ids(&self, gate: String) -> [(String, bool, u32); 2] {
        let id = || {
            let context = mobula::context();
            let task = context.task_id().map(|id| id.to_string()).unwrap_or_default();
            (task, context.actor_id().is_some(), std::process::id())
        };
        let before = id();
        opens(&gate).await;
        [before, id()]
    }

    pub async fn many(&self, len: usize) -> Vec<u8> {
        vec![7; len]
    }
}

fn shelf() -> ActorHandle<Shelf> {
    Shelf::remote("shelf".to_owned()).unwrap()
}

#[mobula::test]
fn they_give_what_others_give() {
    let _runtime = start();
    let (shelf, gate) = (shelf(), Gate::new());
    assert_eq!(shelf.set("a".to_owned(), 1).call().unwrap(), None);
    assert_eq!(shelf.set("a".to_owned(), 2).call().unwrap(), Some(1));
    assert_eq!(get(&shelf.get("a".to_owned()).remote()).unwrap(), 2);
    let (two, text) = shelf.two(gate.text()).remote();
    assert_eq!(shelf.name().call().unwrap(), "shelf");
    shelf.nothing().call().unwrap();
    gate.open();
    assert_eq!((get(&two).unwrap(), get(&text).unwrap()), (2, "two".to_owned()));
    // Inside a frame, and through the store.
    for len in [0, 100, 10_000, 3_000_000] {
        assert_eq!(get(&shelf.many(len).remote()).unwrap(), vec![7; len]);
    }
}

#[mobula::test]
fn they_fail_as_others_fail_and_the_actor_goes_on() {
    let _runtime = start();
    let (shelf, gate) = (shelf(), Gate::new());
    let error = shelf.get("b".to_owned()).call().unwrap_err();
    assert!(error.is_task_failed() && error.to_string().contains("nothing at b"), "{error}");
    let panics = shelf.panics(gate.text()).remote();
    gate.open();
    let error = get(&panics).unwrap_err();
    let failure = error.task_failure().unwrap();
    assert_eq!((failure.message.as_str(), failure.function.as_str()), ("in the midst of it", "Shelf::panics"));
    assert!(failure.location.as_deref().unwrap().contains("methods.rs"));
    assert_eq!(shelf.set("c".to_owned(), 1).call().unwrap(), None);
}

#[mobula::test]
fn arguments_are_waited_for_and_refs_travel() {
    let _runtime = start();
    let (shelf, gate) = (shelf(), Gate::new());
    let late = after::remote(gate.text(), 4);
    let sum = shelf.sum(vec![late.clone(), mobula::put(&3).unwrap()]).remote();
    let numbers = Array::from_slice(&vec![1.5; 100_000]).unwrap();
    let scaled = get(&shelf.scale(numbers, 2.0).remote()).unwrap();
    assert!(scaled.len() == 100_000 && scaled.iter().all(|&number| number == 3.0));
    let set = shelf.set("late".to_owned(), &late).remote();
    gate.open();
    assert_eq!(get(&set).unwrap(), None);
    assert_eq!(get(&sum).unwrap(), 7);
}

#[mobula::test]
fn each_has_its_own_context_wherever_it_goes_on() {
    let _runtime = start();
    let (shelf, gate) = (shelf(), Gate::new());
    let calls: Vec<_> = (0..20).map(|_| shelf.ids(gate.text()).remote()).collect();
    gate.open();
    let mut seen = Vec::new();
    for call in &calls {
        let [before, behind] = get(call).unwrap();
        assert_eq!(before, behind);
        assert!(before.1 && !before.0.is_empty());
        seen.push(before.0);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), calls.len());
}

#[mobula::test]
fn calls_that_wait_for_nothing_run_in_the_order_of_their_caller() {
    let _runtime = start();
    let shelf = shelf();
    let calls: Vec<_> = (0..5_000).map(|value| shelf.set("key".to_owned(), value).remote()).collect();
    for (value, call) in calls.iter().enumerate() {
        assert_eq!(get(call).unwrap(), (value as u64).checked_sub(1));
    }
}

#[mobula::test]
fn thousands_of_calls_of_several_callers_come_and_go() {
    let _runtime = start();
    let hall = Hall::remote().unwrap();
    let callers: Vec<_> = (0..3).map(|_| call_often::remote(&hall, 2_000)).collect();
    let gate = Gate::new();
    let waiting: Vec<_> = (0..300).map(|_| hall.enter(gate.text()).remote()).collect();
    eventually("all are inside", || get(&hall.inside().remote()).unwrap() == 300);
    for caller in &callers {
        assert_eq!(get(caller).unwrap(), 2_000 * 2_001);
    }
    gate.open();
    mobula::get_all(&waiting).unwrap();
    assert_eq!(get(&hall.inside().remote()).unwrap(), 0);
}

#[mobula::task]
fn call_often(hall: ActorHandle<Hall>, times: u64) -> mobula::Result<u64> {
    let calls: Vec<_> = (0..times).map(|x| hall.add(x, x + 2).remote()).collect();
    Ok(mobula::get_all(&calls)?.iter().sum())
}
