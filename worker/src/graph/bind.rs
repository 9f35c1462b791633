//! Binding: nodes, which stand for values to come, and the steps that make them.
//!
//! ```text
//!   actor.add(node, 5)  --> Call, whose arguments have a gap where the node stands
//!        .bind()        --> Step { actor, method, arguments, gaps }, and a Node for each of its results
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mobula_store::ObjectHold;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::Results;
use crate::actor::RawHandle;
use crate::arg::Arg;
use crate::call::Call;
use crate::definition::MethodDef;
use crate::error::{Error, Result};
use crate::returns::{Many, One, ReturnWriter, Returns};

/// Numbers of steps and graphs: what was bound later has a larger one (WK-70).
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Returns the next number.
pub(crate) fn number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// A value that a graph will have: an input, or a result of a bound call.
///
/// It can be an argument of other calls that are bound, and a result of the graph. Nothing can be read from it.
pub struct Node<T> {
    source: NodeSource,
    value: PhantomData<fn() -> T>,
}

/// Where a node's value comes from.
#[derive(Debug, Clone)]
pub(crate) enum NodeSource {
    /// An input of the graph with that number.
    Input { graph: u64, index: u8 },
    /// A result of a step.
    Step { step: Arc<Step>, result: u8 },
}

/// A call that is bound.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) number: u64,
    pub(crate) handle: RawHandle,
    pub(crate) method: &'static MethodDef,
    pub(crate) index: u16,
    /// The encoded arguments without what comes from nodes.
    pub(crate) bytes: Vec<u8>,
    /// Where that goes.
    pub(crate) gaps: Vec<(usize, NodeSource)>,
    /// What the arguments refer to, as long as the graph lives.
    pub(crate) _holds: Vec<ObjectHold>,
    /// Why it cannot be bound.
    pub(crate) error: Option<Error>,
}

impl<T> Node<T> {
    pub(crate) fn of(source: NodeSource) -> Self {
        Node { source, value: PhantomData }
    }

    pub(crate) fn source(&self) -> &NodeSource {
        &self.source
    }
}

impl<T> Clone for Node<T> {
    fn clone(&self) -> Self {
        Node::of(self.source.clone())
    }
}

impl<T> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            NodeSource::Input { index, .. } => write!(f, "Node(input {index})"),
            NodeSource::Step { step, result } => write!(f, "Node({}, result {result})", step.method.name),
        }
    }
}

impl<T> From<Node<T>> for Arg<T> {
    fn from(node: Node<T>) -> Self {
        Arg::of_node(&node)
    }
}

impl<T> From<&Node<T>> for Arg<T> {
    fn from(node: &Node<T>) -> Self {
        Arg::of_node(node)
    }
}

/// Gives a call's results as nodes of a graph. Implemented for all that a call can have as results.
pub trait Bind: Returns {
    /// A node, or a tuple of nodes.
    type Nodes;

    #[doc(hidden)]
    fn nodes(step: BoundStep) -> Self::Nodes;
}

/// A step whose nodes are to be made.
#[derive(Debug)]
pub struct BoundStep(Arc<Step>);

impl BoundStep {
    fn node<T>(&self, result: u8) -> Node<T> {
        Node::of(NodeSource::Step { step: self.0.clone(), result })
    }
}

impl<T> Bind for One<T> {
    type Nodes = Node<T>;

    fn nodes(step: BoundStep) -> Node<T> {
        step.node(0)
    }
}

impl<R: Bind> Call<R> {
    /// Binds the call into a graph instead of making it: gives a node for each of its results.
    ///
    /// Other nodes may be among its arguments; refs may not. Whatever is wrong with it
    /// [`Graph::compile`](crate::Graph::compile) says.
    pub fn bind(self) -> R::Nodes {
        R::nodes(BoundStep(Arc::new(self.into_step())))
    }
}

/// The inputs of a graph: a tuple of one to eight values.
pub trait Inputs: Sized {
    /// A node for each.
    type Nodes;

    #[doc(hidden)]
    const COUNT: u8;

    #[doc(hidden)]
    fn nodes(graph: u64) -> Self::Nodes;

    #[doc(hidden)]
    fn encode(&self, out: &mut ReturnWriter) -> Result<()>;
}

/// Makes the nodes of a graph's inputs, and its number.
pub(super) fn inputs<I: Inputs>() -> (u64, I::Nodes) {
    let graph = number();
    (graph, I::nodes(graph))
}

/// What a graph gives: a node, a tuple of one to eight nodes, or a list of them.
pub trait Outputs {
    /// Their values.
    type Values;

    #[doc(hidden)]
    fn sources(&self) -> Vec<OutputSource>;

    #[doc(hidden)]
    fn decode(results: &mut Results<'_>) -> Result<Self::Values>;
}

/// Where an output comes from.
#[derive(Debug)]
pub struct OutputSource(pub(super) NodeSource);

impl<T: DeserializeOwned> Outputs for Node<T> {
    type Values = T;

    fn sources(&self) -> Vec<OutputSource> {
        vec![OutputSource(self.source().clone())]
    }

    fn decode(results: &mut Results<'_>) -> Result<T> {
        results.next()
    }
}

impl<T: DeserializeOwned> Outputs for Vec<Node<T>> {
    type Values = Vec<T>;

    fn sources(&self) -> Vec<OutputSource> {
        self.iter().map(|node| OutputSource(node.source().clone())).collect()
    }

    fn decode(results: &mut Results<'_>) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(results.left());
        while results.left() > 0 {
            values.push(results.next()?);
        }
        Ok(values)
    }
}

macro_rules! tuples {
    ($count:literal: $($name:ident $part:ident $index:literal),+) => {
        impl<$($name),+> Bind for Many<($($name,)+)> {
            type Nodes = ($(Node<$name>,)+);

            fn nodes(step: BoundStep) -> Self::Nodes {
                ($(step.node::<$name>($index),)+)
            }
        }

        impl<$($name: Serialize + 'static),+> Inputs for ($($name,)+) {
            type Nodes = ($(Node<$name>,)+);

            const COUNT: u8 = $count;

            fn nodes(graph: u64) -> Self::Nodes {
                ($(Node::<$name>::of(NodeSource::Input { graph, index: $index }),)+)
            }

            fn encode(&self, out: &mut ReturnWriter) -> Result<()> {
                let ($($part,)+) = self;
                $(out.push($part).map_err(|error| error.into_error(|| "an input of a graph".to_owned()))?;)+
                Ok(())
            }
        }

        impl<$($name: DeserializeOwned),+> Outputs for ($(Node<$name>,)+) {
            type Values = ($($name,)+);

            fn sources(&self) -> Vec<OutputSource> {
                let ($($part,)+) = self;
                vec![$(OutputSource($part.source().clone())),+]
            }

            fn decode(results: &mut Results<'_>) -> Result<Self::Values> {
                Ok(($(results.next::<$name>()?,)+))
            }
        }
    };
}

tuples!(1: A a 0);
tuples!(2: A a 0, B b 1);
tuples!(3: A a 0, B b 1, C c 2);
tuples!(4: A a 0, B b 1, C c 2, D d 3);
tuples!(5: A a 0, B b 1, C c 2, D d 3, E e 4);
tuples!(6: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);
tuples!(7: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6);
tuples!(8: A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7);
