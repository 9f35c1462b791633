//! `max_pending_calls`: how many unanswered calls a caller may have.

use mobula::prelude::*;

use super::start;
use super::support::{Gate, get, pass};

pub struct Keeper {}

#[mobula::actor(max_pending_calls = 2)]
impl Keeper {
    pub fn new() -> Self {
        Keeper {}
    }

    pub fn pass(&self, gate: String) -> u32 {
        pass(&gate);
        1
    }

    pub fn me(&self) -> ActorHandle<Keeper> {
        mobula::context().current_actor()
    }
}

pub struct Caller {}

#[mobula::actor]
impl Caller {
    pub fn new() -> Self {
        Caller {}
    }

    /// Calls as often as it may, and says how often that was.
    pub fn call(&self, keeper: ActorHandle<Keeper>, gate: String) -> usize {
        std::iter::repeat_with(|| keeper.pass(gate.clone()).try_remote()).take(10).filter(Result::is_ok).count()
    }
}

#[mobula::test]
fn a_caller_has_no_more_unanswered_calls_than_the_class_allows() {
    let _runtime = start();
    let (keeper, gate) = (Keeper::remote().unwrap(), Gate::new());
    for _ in 0..3 {
        let gate = Gate::new();
        let calls = [(); 2].map(|()| keeper.pass(gate.text()).remote());
        let error = keeper.pass(gate.text()).try_remote().unwrap_err();
        assert!(error.is_pending_calls_limit(), "{error}");
        assert!(error.to_string().contains("Keeper") && error.to_string().contains("max_pending_calls"), "{error}");
        assert!(get(&keeper.pass(gate.text()).remote()).unwrap_err().is_pending_calls_limit());
        assert!(keeper.pass(gate.text()).call().unwrap_err().is_pending_calls_limit());
        gate.open();
        assert_eq!(mobula::get_all(&calls).unwrap(), [1, 1]);
    }
    gate.open();
    for _ in 0..1_000 {
        // An answer is no unanswered call, even if this thread was not the one who took it.
        let calls = [(); 2].map(|()| keeper.pass(gate.text()).try_remote().unwrap());
        assert_eq!(mobula::get_all(&calls).unwrap(), [1, 1]);
    }
}

#[mobula::test]
fn an_option_comes_before_the_class_and_each_caller_counts_for_itself() {
    let _runtime = start();
    let (keeper, gate) = (Keeper::options().max_pending_calls(4).remote().unwrap(), Gate::new());
    let calls = [(); 4].map(|()| keeper.pass(gate.text()).remote());
    assert!(keeper.pass(gate.text()).try_remote().unwrap_err().is_pending_calls_limit());
    let caller = Caller::remote().unwrap();
    assert_eq!(get(&caller.call(&keeper, gate.text()).remote()).unwrap(), 4);
    gate.open();
    assert_eq!(mobula::get_all(&calls).unwrap(), [1; 4]);
    let zero = Keeper::options().max_pending_calls(0).remote().unwrap_err();
    assert!(zero.is_invalid_argument(), "{zero}");
}

#[mobula::test]
fn a_handle_that_the_actor_makes_of_itself_has_the_limit() {
    let _runtime = start();
    let (keeper, gate) = (Keeper::remote().unwrap(), Gate::new());
    let caller = Caller::remote().unwrap();
    let weak = keeper.me().remote();
    let counted = caller.call(get(&weak).unwrap(), gate.text()).remote();
    assert_eq!(get(&counted).unwrap(), 2);
    gate.open();
}
