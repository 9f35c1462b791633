//! Actors as their callers see them: handles, options, creation, `kill`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mobula_scheduler::config;
use mobula_scheduler::death::{ActorDeath, DeathCause};
use mobula_scheduler::ids::ActorId;
use mobula_scheduler::protocol::{ActorSpec, Answer, Holder, NameClaim, Payload, ToNode};
use mobula_scheduler::resources::{self, Demand};
use mobula_store::{Lifetime as ObjectLifetime, ObjectHold, ObjectId, ObjectOptions, transfer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::arg::{Args, Readiness};
use crate::core::{self, Core};
use crate::deferred::{Submission, Work};
use crate::definition::{Actor, ActorDefaults, Entry};
use crate::error::{Error, Result};
use crate::route::Route;
use crate::traits::{ActorTraits, WorkerTraits};
use crate::{call, concurrency, names, pump, runtime, value};

/// A handle of an actor of class `A`.
///
/// The class's remote methods appear on it; it has none of its own, so that no method is shadowed:
/// [`ActorHandle::id`] and [`kill`] are called with the handle as argument. Handles are cheap to
/// clone and travel inside arguments, results and objects. When the last strong one is gone the
/// actor finishes its queued calls and ends; the handles from
/// [`Context::current_actor`](crate::Context::current_actor) and [`get_actor`](crate::get_actor) are weak.
pub struct ActorHandle<A: Actor> {
    methods: A::Methods,
}

/// A handle without its class.
#[derive(Clone)]
pub struct RawHandle(Arc<HandleInner>);

struct HandleInner {
    core: Arc<Core>,
    route: Arc<Route>,
    /// The hold of the actor's life; `None` in a weak handle.
    life: Option<ObjectHold>,
}

impl fmt::Debug for RawHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.0.route.class(), self.id())
    }
}

impl RawHandle {
    pub(crate) fn new(core: &Arc<Core>, route: Arc<Route>, life: Option<ObjectHold>) -> Self {
        RawHandle(Arc::new(HandleInner { core: core.clone(), route, life }))
    }

    pub(crate) fn weak(core: &Arc<Core>, id: ActorId, class: &'static str) -> Self {
        RawHandle::new(core, core.route(id, class, false), None)
    }

    pub(crate) fn id(&self) -> ActorId {
        self.0.route.id()
    }

    /// True if dropping this handle ends what its clones share.
    pub(crate) fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.0.route
    }
}

impl<A: Actor> ActorHandle<A> {
    pub(crate) fn from_raw(raw: RawHandle) -> Self {
        ActorHandle { methods: raw.into() }
    }

    /// Returns the actor's id.
    pub fn id(handle: &Self) -> ActorId {
        handle.raw().id()
    }

    pub(crate) fn raw(&self) -> &RawHandle {
        self.methods.as_ref()
    }
}

impl<A: Actor> Clone for ActorHandle<A> {
    fn clone(&self) -> Self {
        ActorHandle::from_raw(self.raw().clone())
    }
}

impl<A: Actor> Deref for ActorHandle<A> {
    type Target = A::Methods;

    fn deref(&self) -> &A::Methods {
        &self.methods
    }
}

impl<A: Actor> fmt::Debug for ActorHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorHandle<{}>({})", A::class().name, self.raw().id())
    }
}

impl<A: Actor> Serialize for ActorHandle<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !transfer::is_encoding() {
            return Err(serde::ser::Error::custom(
                "an ActorHandle serialises only while Mobula encodes an argument, a result or an object",
            ));
        }
        let raw = self.raw();
        if let Some(life) = &raw.0.life {
            transfer::note(life.clone());
        }
        raw.route().announce(raw.core());
        (raw.id(), raw.0.life.is_some(), raw.route().traits()).serialize(serializer)
    }
}

impl<'de, A: Actor> Deserialize<'de> for ActorHandle<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(store) = transfer::decoding() else {
            return Err(serde::de::Error::custom(
                "an ActorHandle deserialises only while Mobula decodes an argument, a result or an object",
            ));
        };
        let (id, strong, traits) = <(ActorId, bool, ActorTraits)>::deserialize(deserializer)?;
        let core = core::current().map_err(value::refuse)?;
        // A life that is over cannot be held; calls through the handle say who died of what.
        let life = if strong { store.hold(id.object()).ok() } else { None };
        let route = core.route(id, A::class().name, false);
        route.set_traits(traits);
        Ok(ActorHandle::from_raw(RawHandle::new(&core, route, life)))
    }
}

/// How long an actor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Lifetime {
    /// Until its last strong handle is gone, or its owner ends.
    #[default]
    Scoped,
    /// Until the node ends or somebody kills it, whoever created it and whoever has handles of it.
    ///
    /// A name is how other drivers find it. It goes on when its driver has ended, if the node does: in that driver's
    /// executable, arguments, environment and working directory. What it prints goes to its log file only then.
    Detached,
}

/// The options of a creation, without the class.
#[derive(Debug, Clone, Default)]
pub struct ActorSettings {
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
    lifetime: Option<Lifetime>,
    pub(crate) get_if_exists: Option<bool>,
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: Vec<(String, f64)>,
    max_restarts: Option<i32>,
    max_task_retries: Option<i32>,
    pub(crate) max_concurrency: Option<usize>,
    max_pending_calls: Option<usize>,
    pub(crate) groups: Vec<(String, usize)>,
    pub(crate) shutdown_timeout: Option<Duration>,
    env: Vec<(String, String)>,
}

/// The options of a creation; `remote` creates and may be called again.
pub struct ActorOptions<A: Actor> {
    launcher: A::Launcher,
}

impl<A: Actor> Clone for ActorOptions<A> {
    fn clone(&self) -> Self {
        ActorOptions { launcher: self.launcher.clone() }
    }
}

impl<A: Actor> fmt::Debug for ActorOptions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(A::class().name).field(self.launcher.as_ref()).finish()
    }
}

impl<A: Actor> Deref for ActorOptions<A> {
    type Target = A::Launcher;

    fn deref(&self) -> &A::Launcher {
        &self.launcher
    }
}

impl<A: Actor> ActorOptions<A> {
    #[doc(hidden)]
    pub fn __new() -> Self {
        ActorOptions { launcher: ActorSettings::default().into() }
    }

    fn with(mut self, set: impl FnOnce(&mut ActorSettings)) -> Self {
        set(self.launcher.as_mut());
        self
    }

    /// Gives the actor a name by which others find it: [`get_actor`](crate::get_actor).
    ///
    /// In a namespace it is the only one of that name. The name is free again when the actor is dead for good, whoever
    /// has handles of it. `remote` then asks the node and waits for its answer.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.name = Some(name.into()))
    }

    /// Sets the namespace of the name (default: that of the driver, [`Context::namespace`](crate::Context::namespace)).
    pub fn namespace(self, namespace: impl Into<String>) -> Self {
        self.with(|settings| settings.namespace = Some(namespace.into()))
    }

    /// Sets how long the actor lives.
    pub fn lifetime(self, lifetime: Lifetime) -> Self {
        self.with(|settings| settings.lifetime = Some(lifetime))
    }

    /// Sets whether an actor that has the name already is taken instead; the arguments are then of no use.
    ///
    /// Of many who do this at once one creates, and all have handles of the same actor, which count. An actor that is
    /// about to end is not taken: `remote` waits for its end and then creates another one.
    pub fn get_if_exists(self, yes: bool) -> Self {
        self.with(|settings| settings.get_if_exists = Some(yes))
    }

    /// Sets the CPUs that it holds for life.
    pub fn num_cpus(self, amount: f64) -> Self {
        self.with(|settings| settings.num_cpus = Some(amount))
    }

    /// Sets the GPUs that it holds for life.
    pub fn num_gpus(self, amount: f64) -> Self {
        self.with(|settings| settings.num_gpus = Some(amount))
    }

    /// Sets a custom resource that it holds for life.
    pub fn resource(self, name: impl Into<String>, amount: f64) -> Self {
        self.with(|settings| settings.resources.push((name.into(), amount)))
    }

    /// Sets how often it is restarted after its process has crashed; -1 is always, 0 the default.
    ///
    /// A crash is any end of the process but by [`kill`], [`exit_actor`](crate::exit_actor), the last handle's drop and
    /// the owner's end; `std::process::exit(0)` is one, too. In the next process `new` runs again with the same
    /// arguments, and [`Context::was_reconstructed`](crate::Context::was_reconstructed) is true. Name, handles and
    /// resources stay. An `Err` or panic of `new` ends the actor for good.
    ///
    /// The first restart is at once. A process that ended within ten seconds of its start has the next one wait, 100 ms
    /// first and twice as long each time, up to 5 s.
    ///
    /// Calls that are known not to have begun run in the next process. One that may have begun is
    /// [`is_actor_unavailable`](crate::Error::is_actor_unavailable), as is one that is made during a restart, unless they
    /// have retries: [`ActorOptions::max_task_retries`].
    pub fn max_restarts(self, times: i32) -> Self {
        self.with(|settings| settings.max_restarts = Some(times))
    }

    /// Sets how often each of its calls is tried again that broke off with the actor's process; -1 is always, 0 the
    /// default: then a call runs at most once.
    ///
    /// What the method or the call itself says counts before this.
    pub fn max_task_retries(self, times: i32) -> Self {
        self.with(|settings| settings.max_task_retries = Some(times))
    }

    /// Sets how many `&self` calls run at once, on as many threads of the actor's process (default 1).
    ///
    /// A `&mut self` call runs alone; one that waits for that is not overtaken by later calls. Above 1 the class must be
    /// `Send + Sync`: otherwise `remote` is `is_invalid_argument`. With 1, and without groups, it needs neither.
    pub fn max_concurrency(self, calls: usize) -> Self {
        self.with(|settings| settings.max_concurrency = Some(calls))
    }

    /// Adds a group of calls that runs beside the others, so many at once; or sets that number of a group of the class.
    ///
    /// A method is put into a group by `#[mobula::method(concurrency_group = "io")]`, a single call by
    /// [`Call::concurrency_group`](crate::Call::concurrency_group). What is in none is in the default group, whose limit is
    /// `max_concurrency`. A group whose places are taken does not hold up another, so that a check of the actor's health
    /// in a group of its own answers while all other places are stuck. `&mut self` methods run alone in the whole actor,
    /// whatever their group. The class must be `Send + Sync`.
    pub fn concurrency_group(self, name: impl Into<String>, calls: usize) -> Self {
        self.with(|settings| {
            let name = name.into();
            match settings.groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, limit)) => *limit = calls,
                None => settings.groups.push((name, calls)),
            }
        })
    }

    /// Sets how long the destructor of the actor's value may take at its end (default 30 s).
    ///
    /// The value is dropped when the actor ends by itself: after [`exit_actor`](crate::exit_actor), or after the last
    /// handle is gone and all calls have run. Its destructor is where an actor tidies up; [`context`](crate::context)
    /// works in it. After this time the process is killed. `kill`, a crash and the runtime's end run no destructor.
    pub fn shutdown_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.shutdown_timeout = Some(timeout))
    }

    /// Sets how many calls of one caller may be unanswered.
    pub fn max_pending_calls(self, calls: usize) -> Self {
        self.with(|settings| settings.max_pending_calls = Some(calls))
    }

    /// Sets an environment variable of its process.
    pub fn env(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|settings| settings.env.push((key.into(), value.into())))
    }
}

impl ActorSettings {
    fn restarts(&self, defaults: &ActorDefaults) -> i32 {
        self.max_restarts.or(defaults.max_restarts).unwrap_or(0)
    }

    fn retries(&self, defaults: &ActorDefaults) -> i32 {
        self.max_task_retries.or(defaults.max_task_retries).unwrap_or(0)
    }

    /// Returns what callers and the worker have to know of the options.
    fn traits(&self, defaults: &ActorDefaults, worker: &WorkerTraits) -> ActorTraits {
        let limit = self.max_pending_calls.or(defaults.max_pending_calls).unwrap_or(0);
        ActorTraits {
            max_pending_calls: u32::try_from(limit).unwrap_or(u32::MAX),
            restarts: self.restarts(defaults) != 0,
            max_task_retries: self.retries(defaults),
            concurrent: worker.is_concurrent(),
        }
    }

    /// Returns what the actor holds, or says which option makes no sense or is not there yet.
    fn check<A: Actor>(&self) -> Result<Demand> {
        let defaults = &A::class().defaults;
        call::check_times("max_restarts", self.restarts(defaults))?;
        call::check_times("max_task_retries", self.retries(defaults))?;
        if self.max_pending_calls.or(defaults.max_pending_calls) == Some(0) {
            return Err(Error::invalid_argument("max_pending_calls must be 1 or more, not 0"));
        }
        config::check_env(&self.env).map_err(|error| Error::invalid_argument(error.to_string()))?;
        let cpus = self.num_cpus.or(defaults.num_cpus).unwrap_or(0.0);
        let gpus = self.num_gpus.or(defaults.num_gpus).unwrap_or(0.0);
        demand(cpus, gpus, &self.resources)
    }
}

/// Makes a demand of the amounts in options.
pub(crate) fn demand(cpus: f64, gpus: f64, custom: &[(String, f64)]) -> Result<Demand> {
    let invalid = |error: resources::ResourceError| Error::invalid_argument(error.to_string());
    let mut demand = Demand::new().cpus(cpus).map_err(invalid)?.gpus(gpus).map_err(invalid)?;
    for (name, amount) in custom {
        demand = demand.custom(name, *amount).map_err(invalid)?;
    }
    Ok(demand)
}

/// Fails if the node's totals can never satisfy the demand of `what`.
pub(crate) fn check_feasible(core: &Core, demand: &Demand, what: &str) -> Result<()> {
    if demand.is_empty() {
        return Ok(());
    }
    match resources::shortage(demand, core.totals()?) {
        Some(short) => Err(Error::insufficient_resources(format!("{what} can never run here: {short}"))),
        None => Ok(()),
    }
}

/// Creates an actor; its process starts behind the handle that is returned at once.
///
/// # Errors
///
/// If no runtime is up, an option makes no sense, an argument cannot be
/// encoded, the node's totals can never satisfy what the actor needs, the workers run another
/// executable that does not have the class (`is_not_found`), or another actor has the name
/// (`is_name_taken`).
pub fn create_actor<A: Actor>(settings: &ActorSettings, args: Args) -> Result<ActorHandle<A>> {
    let core = core::current()?;
    let class = A::class();
    let demand = settings.check::<A>()?;
    let worker = concurrency::worker_traits(settings, class)?;
    let name = names::name_in(&core, settings)?;
    if let Readiness::Failed(error) = args.readiness() {
        return Err(error);
    }
    check_feasible(&core, &demand, class.name)?;
    let key = core.registry().key_of(Entry::Actor(class));
    runtime::check_workers_have(&core, &key)?;
    let id = ActorId::from_object(ObjectId::random());
    let life = core
        .store()
        .put_with(id.object(), &[], &ObjectOptions::new().lifetime(ObjectLifetime::Counted).notify())
        .map_err(|error| Error::from_store(&error, "an actor's entry in the store"))?
        .hold();
    let route = core.route(id, class.name, true);
    let traits = settings.traits(&class.defaults, &worker);
    route.set_traits(traits);
    let options = traits.to_options(&worker);
    if let Some(name) = name {
        let holder =
            Holder { actor: id, class: key.clone(), class_name: class.name.to_owned(), options: options.clone() };
        let or_get = settings.get_if_exists == Some(true);
        // The route is there before the name is: whoever finds the actor by it uses the same one.
        let existing = names::claim(&core, class, NameClaim { name, holder, or_get });
        if !matches!(existing, Ok(None)) {
            core.forget_route(id);
        }
        if let Some(handle) = existing? {
            return Ok(ActorHandle::from_raw(handle));
        }
        route.set_announced();
    }
    let detached = settings.lifetime == Some(Lifetime::Detached);
    if detached {
        core.keep(id, life.clone());
    }
    let handle = RawHandle::new(&core, route, Some(life));
    let spec = Box::new(ActorSpec {
        actor: id,
        class: key,
        class_name: class.name.to_owned(),
        args: Payload::default(),
        demand,
        env: settings.env.clone(),
        max_restarts: settings.restarts(&class.defaults),
        detached,
        options,
    });
    Submission::Actor { spec, args, handle: handle.clone() }.submit(&core);
    Ok(ActorHandle::from_raw(handle))
}

/// Makes the death of an actor as this process knows it.
pub(crate) fn death(route: &Route, cause: DeathCause) -> ActorDeath {
    ActorDeath { actor: route.id(), class: route.class().to_owned(), pid: 0, cause }
}

/// Kills an actor now: no destructors, no restart; a dead one is no error.
///
/// When it returns the process is gone and its resources are free; running and queued calls are
/// `is_actor_died`.
///
/// # Errors
///
/// If the runtime has ended.
pub fn kill<A: Actor>(handle: &ActorHandle<A>) -> Result<()> {
    kill_with(handle, KillOptions::default())
}

/// How an actor is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KillOptions {
    /// Whether it may be restarted: then this counts as a crash of its process.
    pub restart: bool,
}

/// Kills an actor; see [`kill`].
///
/// # Errors
///
/// If the runtime has ended.
pub fn kill_with<A: Actor>(handle: &ActorHandle<A>, options: KillOptions) -> Result<()> {
    let raw = handle.raw();
    let core = raw.core();
    core.check_open()?;
    if raw.route().death().is_some() {
        return Ok(());
    }
    let actor = raw.id();
    let restart = options.restart;
    let answer = core.link().ask(|request| ToNode::KillActor { actor, restart, request })?;
    let mut work = Work::default();
    // What has no process yet is not ended by the end of one.
    if restart {
        tracing::debug!(%actor, ?answer, "the process of an actor was killed");
    } else if matches!(answer, Answer::NotFound) || raw.route().is_creation_ahead() {
        // Its creation waits for arguments in this process, or it is dead for long.
        core.bury(death(raw.route(), DeathCause::Killed), &mut work);
    }
    work.run(core);
    pump::turn(core);
    core.pump().wake();
    Ok(())
}
