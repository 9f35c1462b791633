//! `ActorPool`: some actors that share work, one call at a time each.
//!
//! ```text
//!   submit --> waiting [ call, call ] --\                        +--> get_next: the oldest
//!   map ------------------------------> actor, free --> running --> done
//!                                         ^                      +--> get_next_unordered: any
//!                                         +---- when it is wanted, or its result is taken
//! ```
//!
//! No thread belongs to a pool: work is given out inside its methods. An actor whose call is done *rests* until the result
//! is taken, as in Ray, where it is free only then; but work that waits goes to one that rests, so that one slow
//! item holds up nobody behind it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobula_scheduler::death::ActorDeath;
use serde::de::DeserializeOwned;

use crate::actor::ActorHandle;
use crate::call::Call;
use crate::core::Core;
use crate::deferred::{Completions, Dependent};
use crate::definition::Actor;
use crate::error::{Error, Result};
use crate::objects;
use crate::refs::ObjectRef;
use crate::returns::Returns;

/// How many results of an ordered `map` may wait for an earlier one.
const AHEAD: usize = 1_000;

/// A call of an [`ActorPool`]'s actor: `actor.f(item)`, or its ref, `actor.f(item).remote()`.
pub trait PoolCall {
    /// What the method gives.
    type Value;

    /// Makes the call, if that was not done.
    fn make(self) -> ObjectRef<Self::Value>;
}

impl<T, R: Returns<Refs = ObjectRef<T>>> PoolCall for Call<R> {
    type Value = T;

    fn make(self) -> ObjectRef<T> {
        self.remote()
    }
}

impl<T> PoolCall for ObjectRef<T> {
    type Value = T;

    fn make(self) -> ObjectRef<T> {
        self
    }
}

/// Some actors of one class that share work: each has one call of the pool at a time.
///
/// Work comes by [`map`](Self::map), [`map_unordered`](Self::map_unordered) or [`submit`](Self::submit). It is given to the
/// actors inside the pool's methods, by no thread of its own: what is submitted while all are busy waits until results
/// are asked for. An actor that has died is given no more work and leaves the pool; the call that it died in fails with
/// `is_actor_died`, and so does, when no actor is left, what still waits. One that is restarted stays.
///
/// All calls of a pool have results of one type; for another type make another pool of clones of the handles.
///
/// # Examples
///
/// ```no_run
/// # use mobula_worker as mobula;
/// # fn example<A: mobula::Actor>(
/// #     actors: Vec<mobula::ActorHandle<A>>,
/// #     double: fn(&mobula::ActorHandle<A>, u64) -> mobula::ObjectRef<u64>,
/// # ) -> mobula::Result<()> {
/// let mut pool = mobula::ActorPool::new(actors);
/// let doubled: Vec<u64> = pool.map(|actor, x| double(actor, x), 0..4).collect::<mobula::Result<_>>()?;
/// assert_eq!(doubled, [0, 2, 4, 6]);
/// # Ok(())
/// # }
/// ```
pub struct ActorPool<A: Actor, R> {
    idle: Vec<ActorHandle<A>>,
    /// Submitted, and no actor has it.
    waiting: VecDeque<(usize, Box<Submission<A, R>>)>,
    /// What actors have, or have done, by number.
    calls: BTreeMap<usize, Running<A, R>>,
    next: usize,
    /// Calls that are done, as they came.
    done: VecDeque<usize>,
    /// Those of them whose actors rest.
    resting: VecDeque<usize>,
    completions: Arc<Completions>,
    /// How the last actor has died.
    death: Option<ActorDeath>,
}

type Submission<A, R> = dyn FnOnce(&ActorHandle<A>) -> ObjectRef<R> + Send;

struct Running<A: Actor, R> {
    object: ObjectRef<R>,
    /// `None` when the actor has gone on to other work.
    actor: Option<ActorHandle<A>>,
    is_done: bool,
    /// Nobody will ask for the result.
    forgotten: bool,
}

/// Which result is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Submitted,
    Done,
}

impl<A: Actor, R> ActorPool<A, R> {
    /// Makes a pool of these actors.
    pub fn new(actors: impl IntoIterator<Item = ActorHandle<A>>) -> Self {
        ActorPool {
            idle: actors.into_iter().collect(),
            waiting: VecDeque::new(),
            calls: BTreeMap::new(),
            next: 0,
            done: VecDeque::new(),
            resting: VecDeque::new(),
            completions: Arc::default(),
            death: None,
        }
    }

    /// Calls `call` with an actor and an item for each item, and returns an iterator over the results in the order of the
    /// items.
    ///
    /// An item is taken when an actor is free for it, so the items may be any number; not more than 1,000 results wait for
    /// an earlier one. What was submitted before and not taken is forgotten, as with Ray: what waits never runs, the
    /// results of what runs are dropped. Dropping the iterator does the same with what it has called.
    ///
    /// # Errors
    ///
    /// Each item of the iterator is a result, or the error of its call; what comes after an error goes on. A pool without
    /// actors gives one `is_invalid_argument`; the runtime's end is the last item.
    pub fn map<I, F, C>(&mut self, call: F, items: I) -> PoolMap<'_, A, R, F, I::IntoIter>
    where
        I: IntoIterator,
        F: FnMut(&ActorHandle<A>, I::Item) -> C,
        C: PoolCall<Value = R>,
        R: DeserializeOwned,
    {
        self.mapped(call, items.into_iter(), Order::Submitted)
    }

    /// The same with the results in the order in which they come.
    ///
    /// # Errors
    ///
    /// Those of [`ActorPool::map`].
    pub fn map_unordered<I, F, C>(&mut self, call: F, items: I) -> PoolMap<'_, A, R, F, I::IntoIter>
    where
        I: IntoIterator,
        F: FnMut(&ActorHandle<A>, I::Item) -> C,
        C: PoolCall<Value = R>,
        R: DeserializeOwned,
    {
        self.mapped(call, items.into_iter(), Order::Done)
    }

    fn mapped<I, F>(&mut self, call: F, items: I, order: Order) -> PoolMap<'_, A, R, F, I> {
        self.forget_all();
        PoolMap { pool: self, call, items: Some(items), order }
    }

    /// Calls `call` with a free actor and `item`, now or as soon as an actor is free while results are asked for.
    pub fn submit<I, F, C>(&mut self, call: F, item: I)
    where
        I: Send + 'static,
        F: FnOnce(&ActorHandle<A>, I) -> C + Send + 'static,
        C: PoolCall<Value = R>,
    {
        let number = self.draw();
        self.waiting.push_back((number, Box::new(move |actor| call(actor, item).make())));
        self.look();
        self.give_out();
    }

    /// Returns true if there is a result to come that was not taken.
    pub fn has_next(&self) -> bool {
        !self.waiting.is_empty() || self.calls.values().any(|call| !call.forgotten)
    }

    /// Waits for the result of what was submitted first of all that was not taken, and takes it.
    ///
    /// # Errors
    ///
    /// The call's; `is_not_found` if there is nothing to come, `is_invalid_argument` if the pool has had no actor yet. Those
    /// of [`get`](crate::get) that concern the wait leave the result where it is.
    pub fn get_next(&mut self) -> Result<R>
    where
        R: DeserializeOwned,
    {
        self.take_next(Order::Submitted, None)
    }

    /// The same for at most `timeout`; zero only looks.
    ///
    /// # Errors
    ///
    /// Those of [`ActorPool::get_next`], and `is_timeout`: then the result is still to come.
    pub fn get_next_timeout(&mut self, timeout: Duration) -> Result<R>
    where
        R: DeserializeOwned,
    {
        self.take_next(Order::Submitted, Instant::now().checked_add(timeout))
    }

    /// Waits for any result that was not taken, and takes it.
    ///
    /// # Errors
    ///
    /// Those of [`ActorPool::get_next`].
    pub fn get_next_unordered(&mut self) -> Result<R>
    where
        R: DeserializeOwned,
    {
        self.take_next(Order::Done, None)
    }

    /// The same for at most `timeout`; zero only looks.
    ///
    /// # Errors
    ///
    /// Those of [`ActorPool::get_next_timeout`].
    pub fn get_next_unordered_timeout(&mut self, timeout: Duration) -> Result<R>
    where
        R: DeserializeOwned,
    {
        self.take_next(Order::Done, Instant::now().checked_add(timeout))
    }

    /// Returns true if an actor has nothing to do and no work waits.
    ///
    /// An actor whose result was not taken is not free.
    pub fn has_free(&mut self) -> bool {
        self.look();
        self.bury_idle();
        self.waiting.is_empty() && !self.idle.is_empty()
    }

    /// Takes an actor that is free out of the pool; `None` if there is none.
    pub fn pop_idle(&mut self) -> Option<ActorHandle<A>> {
        if self.has_free() { self.idle.pop() } else { None }
    }

    /// Adds an actor, which is given work at once if some waits.
    ///
    /// # Errors
    ///
    /// `is_invalid_argument` if the pool has it.
    pub fn push(&mut self, actor: ActorHandle<A>) -> Result<()> {
        let id = ActorHandle::id(&actor);
        let busy = self.calls.values().filter_map(|call| call.actor.as_ref());
        if self.idle.iter().chain(busy).any(|known| ActorHandle::id(known) == id) {
            return Err(Error::invalid_argument(format!("{actor:?} is in the pool already")));
        }
        self.idle.push(actor);
        self.look();
        self.give_out();
        Ok(())
    }

    fn draw(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// Takes notice of calls that are done.
    fn look(&mut self) {
        while let Some(number) = self.completions.pop() {
            self.finished(number);
        }
    }

    fn finished(&mut self, number: usize) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.is_done = true;
        if call.forgotten {
            if let Some(call) = self.calls.remove(&number) {
                self.idle.extend(call.actor);
            }
            return;
        }
        self.done.push_back(number);
        self.resting.push_back(number);
    }

    /// Keeps the dead from being idle.
    fn bury_idle(&mut self) {
        let death = &mut self.death;
        self.idle.retain(|actor| lives(actor, death));
    }

    /// Returns an actor that can be given work.
    fn free(&mut self) -> Option<ActorHandle<A>> {
        while let Some(actor) = self.idle.pop() {
            if lives(&actor, &mut self.death) {
                return Some(actor);
            }
        }
        while let Some(number) = self.resting.pop_front() {
            if let Some(actor) = self.calls.get_mut(&number).and_then(|call| call.actor.take())
                && lives(&actor, &mut self.death)
            {
                return Some(actor);
            }
        }
        None
    }

    /// Gives what waits to actors that can take it.
    fn give_out(&mut self) {
        while !self.waiting.is_empty()
            && let Some(actor) = self.free()
            && let Some((number, call)) = self.waiting.pop_front()
        {
            let object = call(&actor);
            self.begin(number, object, actor);
        }
    }

    /// Notes that an actor has a call.
    fn begin(&mut self, number: usize, object: ObjectRef<R>, actor: ActorHandle<A>) {
        let dependent = Dependent::Completions(self.completions.clone(), number);
        let waits = object.inner.core().is_ok_and(|core| core.await_ref(&object.inner, dependent).is_none());
        self.calls.insert(number, Running { object, actor: Some(actor), is_done: false, forgotten: false });
        if !waits {
            self.finished(number);
        }
    }

    /// Forgets all that was not taken.
    fn forget_all(&mut self) {
        self.look();
        self.waiting.clear();
        self.done.clear();
        self.resting.clear();
        for (number, mut call) in std::mem::take(&mut self.calls) {
            if call.is_done {
                self.idle.extend(call.actor);
            } else {
                call.forgotten = true;
                self.calls.insert(number, call);
            }
        }
    }

    /// Takes the next result that is there.
    fn take_done(&mut self, order: Order) -> Option<ObjectRef<R>> {
        let number = match order {
            // What waits came later than all that actors have.
            Order::Submitted => {
                let (number, call) = self.calls.iter().find(|(_, call)| !call.forgotten)?;
                call.is_done.then_some(*number)?
            }
            Order::Done => loop {
                let number = self.done.pop_front()?;
                if self.calls.contains_key(&number) {
                    break number;
                }
            },
        };
        let call = self.calls.remove(&number)?;
        if let Some(actor) = call.actor
            && lives(&actor, &mut self.death)
        {
            self.idle.push(actor);
        }
        while self.done.front().is_some_and(|number| !self.calls.contains_key(number)) {
            self.done.pop_front();
        }
        while self.resting.front().is_some_and(|number| self.calls.get(number).is_none_or(|call| call.actor.is_none()))
        {
            self.resting.pop_front();
        }
        self.give_out();
        Some(call.object)
    }

    fn take_next(&mut self, order: Order, deadline: Option<Instant>) -> Result<R>
    where
        R: DeserializeOwned,
    {
        loop {
            self.look();
            self.give_out();
            if let Some(object) = self.take_done(order) {
                return objects::get(&object);
            }
            if !self.has_next() {
                return Err(Error::not_found("there are no more results: all that was submitted was taken"));
            }
            if self.calls.is_empty() {
                // Nobody can take what waits.
                let Some(death) = self.death.clone() else { return Err(no_actors()) };
                self.waiting.pop_front();
                return Err(Error::actor_died(death));
            }
            self.wait(deadline)?;
        }
    }

    /// Waits until a call is done.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<()> {
        let Some(core) = self.core() else { return Err(objects::no_more()) };
        match objects::next_completion_until(&core, &self.completions, deadline) {
            Some(number) => {
                self.finished(number);
                Ok(())
            }
            None => {
                core.check_open()?;
                crate::context::check_wanted()?;
                Err(Error::timeout("no result of the pool came in time"))
            }
        }
    }

    /// The runtime of the calls: all are made in the same.
    fn core(&self) -> Option<Arc<Core>> {
        self.calls.values().find_map(|call| call.object.inner.core().ok())
    }
}

/// Says whether an actor may be given work; notes how it has died.
fn lives<A: Actor>(actor: &ActorHandle<A>, death: &mut Option<ActorDeath>) -> bool {
    match actor.raw().route().death() {
        Some(died) => {
            *death = Some(died);
            false
        }
        None => true,
    }
}

fn no_actors() -> Error {
    Error::invalid_argument("the pool has no actor: push one")
}

impl<A: Actor, R> fmt::Debug for ActorPool<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorPool")
            .field("idle", &self.idle)
            .field("waiting", &self.waiting.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

/// The iterator of [`ActorPool::map`] and [`ActorPool::map_unordered`].
#[must_use = "nothing is called before the first result is asked for"]
pub struct PoolMap<'a, A: Actor, R, F, I> {
    pool: &'a mut ActorPool<A, R>,
    call: F,
    /// `None` when there are no more.
    items: Option<I>,
    order: Order,
}

impl<A: Actor, R, F, I> fmt::Debug for PoolMap<'_, A, R, F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMap").field("pool", &self.pool).field("order", &self.order).finish_non_exhaustive()
    }
}

impl<A, R, F, I, C> PoolMap<'_, A, R, F, I>
where
    A: Actor,
    F: FnMut(&ActorHandle<A>, I::Item) -> C,
    I: Iterator,
    C: PoolCall<Value = R>,
{
    /// Gives items to the actors that can take one.
    fn fill(&mut self) {
        self.pool.look();
        while self.pool.done.len() < AHEAD
            && self.items.is_some()
            && let Some(actor) = self.pool.free()
        {
            let Some(item) = self.items.as_mut().and_then(Iterator::next) else {
                self.pool.idle.push(actor);
                self.items = None;
                return;
            };
            let object = (self.call)(&actor, item).make();
            let number = self.pool.draw();
            self.pool.begin(number, object, actor);
        }
    }

    fn end(&mut self, error: Error) -> Error {
        self.items = None;
        self.pool.forget_all();
        error
    }
}

impl<A, R, F, I, C> Iterator for PoolMap<'_, A, R, F, I>
where
    A: Actor,
    F: FnMut(&ActorHandle<A>, I::Item) -> C,
    I: Iterator,
    C: PoolCall<Value = R>,
    R: DeserializeOwned,
{
    type Item = Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.fill();
            if let Some(object) = self.pool.take_done(self.order) {
                // The next one runs while the program looks at this one's result.
                self.fill();
                return Some(objects::get(&object));
            }
            if self.pool.calls.is_empty() {
                // There are no more items, or no more actors.
                self.items.as_mut()?.next()?;
                return Some(Err(match &self.pool.death {
                    Some(death) => Error::actor_died(death.clone()),
                    None => self.end(no_actors()),
                }));
            }
            if !self.pool.has_next() && self.items.is_none() {
                return None;
            }
            if let Err(error) = self.pool.wait(None) {
                return Some(Err(self.end(error)));
            }
        }
    }
}

impl<A, R, F, I, C> FusedIterator for PoolMap<'_, A, R, F, I>
where
    A: Actor,
    F: FnMut(&ActorHandle<A>, I::Item) -> C,
    I: Iterator,
    C: PoolCall<Value = R>,
    R: DeserializeOwned,
{
}

impl<A: Actor, R, F, I> Drop for PoolMap<'_, A, R, F, I> {
    fn drop(&mut self) {
        self.pool.forget_all();
    }
}
