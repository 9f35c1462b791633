//! Actors by their names: claiming a name, finding who has it, listing all.
//!
//! ```text
//!   options().name("x").remote(..)   life in the store --> ClaimName --> Done ------> CreateActor, as without a name
//!                                                              |------> NameTaken --> is_name_taken
//!                .get_if_exists(true)                          '------> Named ------> a hold of that actor's life
//!   get_actor("x")                                         FindActor --> Named ------> a weak handle
//! ```
//!
//! The node alone knows names (`scheduler/src/node/names.rs`). A process asks and waits for the answer; where that
//! takes long, because an actor of that name still ends, the running task lends its CPUs.

use std::sync::Arc;

use mobula_scheduler::protocol::{ActorName, Answer, Holder, NameClaim, RegistryKey, ToNode};
use mobula_store::ObjectHold;

use crate::actor::{ActorHandle, ActorSettings, RawHandle};
use crate::core::{self, Core};
use crate::definition::{Actor, ActorClass, Entry};
use crate::error::{Error, Result};
use crate::executor::Lending;
use crate::traits::ActorTraits;

/// A name that an actor has; made by [`list_named_actors`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct NamedActor {
    /// Where the name counts.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// Returns a handle of the actor that has a name in this process's namespace.
///
/// The handle is weak: it does not keep the actor alive, wherever it goes, and calls through it after the actor's
/// end are `is_actor_died`. An actor has its name from the moment in which `remote` has returned in its creator; a call
/// that comes before its constructor has run waits for that.
///
/// # Errors
///
/// `is_not_found` if no living actor has the name, `is_invalid_argument` if the name is empty or the actor is of another
/// class, `is_not_initialized` if no runtime is up.
///
/// # Examples
///
/// ```no_run
/// # use mobula_worker as mobula;
/// # fn example<Counter: mobula::Actor>() -> mobula::Result<()> {
/// let counter: mobula::ActorHandle<Counter> = mobula::get_actor("global")?;
/// # Ok(())
/// # }
/// ```
pub fn get_actor<A: Actor>(name: &str) -> Result<ActorHandle<A>> {
    let core = core::current()?;
    find(&core, core.namespace(), name)
}

/// Returns a handle of the actor that has a name in a namespace; see [`get_actor`].
///
/// # Errors
///
/// Those of [`get_actor`], and `is_invalid_argument` if the namespace is empty.
pub fn get_actor_in<A: Actor>(namespace: &str, name: &str) -> Result<ActorHandle<A>> {
    find(&core::current()?, namespace, name)
}

/// Returns the names of all living actors, sorted: those of this process's namespace, or of all.
///
/// # Errors
///
/// `is_not_initialized` if no runtime is up.
///
/// # Examples
///
/// ```no_run
/// for actor in mobula_worker::list_named_actors(true)? {
///     println!("{} in {}", actor.name, actor.namespace);
/// }
/// # Ok::<(), mobula_worker::Error>(())
/// ```
pub fn list_named_actors(all_namespaces: bool) -> Result<Vec<NamedActor>> {
    let core = core::current()?;
    let namespace = (!all_namespaces).then(|| core.namespace().to_owned());
    match core.link().ask(|request| ToNode::ListNames { namespace, request })? {
        Answer::Names(names) => {
            let public = |ActorName { namespace, name }| NamedActor { namespace, name };
            let mut names: Vec<_> = names.into_iter().map(public).collect();
            names.sort();
            Ok(names)
        }
        other => Err(unexpected(&other)),
    }
}

fn find<A: Actor>(core: &Arc<Core>, namespace: &str, name: &str) -> Result<ActorHandle<A>> {
    let name = checked(namespace, name)?;
    match core.link().ask(|request| ToNode::FindActor { name: name.clone(), request })? {
        Answer::Named(holder) => {
            check_class(core, A::class(), &name, &holder)?;
            Ok(ActorHandle::from_raw(handle(core, A::class(), &holder, None)))
        }
        Answer::NotFound => Err(Error::not_found(format!(
            "no living actor has the name `{}` in namespace `{}`",
            name.name, name.namespace
        ))),
        other => Err(unexpected(&other)),
    }
}

/// Returns the name that options give, or says what makes no sense about it.
pub(crate) fn name_in(core: &Core, settings: &ActorSettings) -> Result<Option<ActorName>> {
    let ActorSettings { name, namespace, get_if_exists, .. } = settings;
    match name {
        Some(name) => checked(namespace.as_deref().unwrap_or(core.namespace()), name).map(Some),
        None if namespace.is_some() => Err(Error::invalid_argument("namespace is of use only with a name: give one")),
        None if *get_if_exists == Some(true) => {
            Err(Error::invalid_argument("get_if_exists finds an actor by its name: give one"))
        }
        None => Ok(None),
    }
}

/// Claims a name for an actor that this process is about to create.
///
/// `None`: the actor has it. Otherwise another one does, and `get_if_exists` asks for that.
///
/// # Errors
///
/// If another actor has the name and does not serve as well.
pub(crate) fn claim(core: &Arc<Core>, class: &'static ActorClass, claim: NameClaim) -> Result<Option<RawHandle>> {
    loop {
        let mut lending = Lending::none();
        let question = |request| ToNode::ClaimName { claim: claim.clone(), request };
        let holder = match core.link().ask_patiently(question, || lending.begin())? {
            Answer::Done => return Ok(None),
            Answer::Named(holder) => holder,
            Answer::NameTaken(holder) => return Err(taken(&claim, &holder)),
            other => return Err(unexpected(&other)),
        };
        check_class(core, class, &claim.name, &holder)?;
        match core.store().hold(holder.actor.object()) {
            Ok(life) => return Ok(Some(handle(core, class, &holder, Some(life)))),
            // Its last handle was dropped meanwhile: the node sees that, too, and says to wait.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(Error::from_store(&error, "an actor's entry in the store")),
        }
    }
}

fn handle(core: &Arc<Core>, class: &'static ActorClass, holder: &Holder, life: Option<ObjectHold>) -> RawHandle {
    let route = core.route(holder.actor, class.name, false);
    route.set_traits(ActorTraits::from_options(&holder.options));
    RawHandle::new(core, route, life)
}

fn checked(namespace: &str, name: &str) -> Result<ActorName> {
    for (what, text) in [("name", name), ("namespace", namespace)] {
        if text.is_empty() {
            return Err(Error::invalid_argument(format!("an actor's {what} must not be empty")));
        }
    }
    Ok(ActorName { namespace: namespace.to_owned(), name: name.to_owned() })
}

fn check_class(core: &Core, class: &'static ActorClass, name: &ActorName, holder: &Holder) -> Result<()> {
    let wanted: RegistryKey = core.registry().key_of(Entry::Actor(class));
    if wanted == holder.class {
        return Ok(());
    }
    let text = if wanted.name == holder.class.name {
        format!("comes from another build of class {}: build both programs from the same source", class.name)
    } else {
        format!("is of class {} (`{}`), not {} (`{}`)", holder.class_name, holder.class.name, class.name, wanted.name)
    };
    Err(Error::invalid_argument(format!("the actor `{}` in namespace `{}` {text}", name.name, name.namespace)))
}

fn taken(claim: &NameClaim, holder: &Holder) -> Error {
    let ActorName { namespace, name } = &claim.name;
    let Holder { class_name, actor, .. } = holder;
    let advice = if claim.or_get {
        "it is this one, which is about to end and cannot wait for that"
    } else {
        "choose another one, or set get_if_exists"
    };
    Error::name_taken(format!(
        "the name `{name}` in namespace `{namespace}` belongs to the actor {class_name} {actor}: {advice}"
    ))
}

fn unexpected(answer: &Answer) -> Error {
    Error::system(format!("the node answered {answer:?} when asked for an actor's name"))
}
