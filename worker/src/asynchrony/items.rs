//! Streams of refs as streams of the `futures` crates.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::stream::{FusedStream, Stream};

use crate::refs::ObjectRef;
use crate::stream::ObjectRefStream;

impl<T> ObjectRefStream<T> {
    /// Gives the next item, as a future; `None` if the stream has ended.
    ///
    /// What ends the iterator ends this, too: a call that is cancelled, and a runtime that ends, give an error as the last
    /// item. Dropping the future loses nothing.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use mobula_worker as mobula;
    /// # async fn example(mut numbers: mobula::ObjectRefStream<u64>) -> mobula::Result<()> {
    /// while let Some(number) = numbers.next_async().await {
    ///     println!("{}", number.await?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_async(&mut self) -> Option<ObjectRef<T>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Makes a stream of it that is no iterator: so `map`, `next` and the like are those of `futures::StreamExt`.
    pub fn into_stream(self) -> ItemStream<T> {
        ItemStream(self)
    }
}

/// The refs of the items, as they come; [`ObjectRefStream::next_async`] does the same without a trait.
impl<T> Stream for ObjectRefStream<T> {
    type Item = ObjectRef<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ObjectRef<T>>> {
        self.get_mut().poll_item(cx)
    }
}

impl<T> FusedStream for ObjectRefStream<T> {
    fn is_terminated(&self) -> bool {
        self.is_done()
    }
}

/// The stream of [`ObjectRefStream::into_stream`].
#[derive(Debug)]
#[must_use = "a stream that is dropped ends its call"]
pub struct ItemStream<T>(ObjectRefStream<T>);

impl<T> Stream for ItemStream<T> {
    type Item = ObjectRef<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ObjectRef<T>>> {
        self.get_mut().0.poll_item(cx)
    }
}

impl<T> FusedStream for ItemStream<T> {
    fn is_terminated(&self) -> bool {
        self.0.is_done()
    }
}
