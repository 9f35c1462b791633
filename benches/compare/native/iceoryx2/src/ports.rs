//! The ways to call: ports of the calling side, and what the other side does.
//!
//! A service belongs to one pair of processes, so both ask for the same settings. [`STOP`] ends the other side,
//! which then takes its files along.

use std::collections::VecDeque;
use std::hint::spin_loop;

use iceoryx2::pending_response::PendingResponse;
use iceoryx2::port::client::Client;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::server::Server;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::{event, publish_subscribe, request_response};
use mobula_bench::Result;
use parts::{Call, Part, failed};

use crate::part;

/// What ends the other side.
const STOP: u64 = u64::MAX - 1;
/// What ends a side that takes arrays: no array of the rows ends with it.
const LAST_ARRAY: u8 = u8::MAX;

type Calls = request_response::PortFactory<ipc::Service, u64, (), u64, ()>;
type Numbers = publish_subscribe::PortFactory<ipc::Service, u64, ()>;
type Bytes = publish_subscribe::PortFactory<ipc::Service, [u8], ()>;
type Bell = event::PortFactory<ipc::Service>;
type Caller = Client<ipc::Service, u64, (), u64, ()>;
type Callee = Server<ipc::Service, u64, (), u64, ()>;
type Pending = PendingResponse<ipc::Service, u64, (), u64, ()>;

/// Makes a node; a process needs one.
pub(crate) fn node() -> Result<Node<ipc::Service>> {
    NodeBuilder::new().create().map_err(failed("create a node"))
}

fn name(tag: &str, what: &str) -> Result<ServiceName> {
    format!("{tag}/{what}").as_str().try_into().map_err(failed("name a service"))
}

fn calls(node: &Node<ipc::Service>, tag: &str, room: usize) -> Result<Calls> {
    let service = node.service_builder(&name(tag, "calls")?).request_response::<u64, u64>();
    let service = service.max_clients(1).max_servers(1).max_active_requests_per_client(room).max_loaned_requests(1);
    service.open_or_create().map_err(failed("open a service of requests"))
}

fn numbers(node: &Node<ipc::Service>, tag: &str, way: &str, room: usize) -> Result<Numbers> {
    let service = node.service_builder(&name(tag, way)?).publish_subscribe::<u64>();
    let service = service.max_publishers(1).max_subscribers(1).enable_safe_overflow(false);
    service.subscriber_max_buffer_size(room).open_or_create().map_err(failed("open a service of numbers"))
}

fn bytes(node: &Node<ipc::Service>, tag: &str) -> Result<Bytes> {
    let service = node.service_builder(&name(tag, "bytes")?).publish_subscribe::<[u8]>();
    let service = service.max_publishers(1).max_subscribers(1).enable_safe_overflow(false);
    service.subscriber_max_buffer_size(1).open_or_create().map_err(failed("open a service of arrays"))
}

fn bell(node: &Node<ipc::Service>, tag: &str, way: &str) -> Result<Bell> {
    let service = node.service_builder(&name(tag, way)?).event();
    service.open_or_create().map_err(failed("open a service of events"))
}

/// Serves until it is told to stop; `wait` is for when there is no request.
fn serve(server: &Callee, told: impl Fn() -> Result<()>, wait: impl Fn() -> Result<()>) -> Result<()> {
    loop {
        match server.receive().map_err(failed("receive a request"))? {
            Some(request) if *request == STOP => return Ok(()),
            Some(request) => {
                request.send_copy(*request + 1).map_err(failed("respond"))?;
                told()?;
            }
            None => wait()?,
        }
    }
}

/// Returns the response to the oldest request.
fn response(pending: &mut VecDeque<Pending>, wait: impl Fn() -> Result<()>) -> Result<u64> {
    let Some(oldest) = pending.front() else { return Ok(0) };
    loop {
        if let Some(response) = oldest.receive().map_err(failed("receive a response"))? {
            let number = *response;
            drop(response);
            pending.pop_front();
            return Ok(number);
        }
        wait()?;
    }
}

fn look_again() -> Result<()> {
    spin_loop();
    Ok(())
}

/// Requests and responses, both sides looking for them all the time.
pub(crate) struct Requests {
    pending: VecDeque<Pending>,
    client: Caller,
    _part: Part,
}

impl Requests {
    pub(crate) const WAY: &str = "requests";

    /// Starts another side that takes so many requests at a time.
    pub(crate) fn connect(node: &Node<ipc::Service>, room: usize) -> Result<Self> {
        let (mut part, tag) = part(Self::WAY, room)?;
        part.wait_ready()?;
        let client = calls(node, &tag, room)?.client_builder().create().map_err(failed("create a client"))?;
        Ok(Requests { pending: VecDeque::with_capacity(room), client, _part: part })
    }

    pub(crate) fn serve(tag: &str, room: usize) -> Result<()> {
        let server = calls(&node()?, tag, room)?.server_builder().create().map_err(failed("create a server"))?;
        Part::ready()?;
        serve(&server, || Ok(()), look_again)
    }
}

impl Call for Requests {
    fn send(&mut self, number: u64) -> Result<()> {
        self.pending.push_back(self.client.send_copy(number).map_err(failed("send a request"))?);
        Ok(())
    }

    fn answer(&mut self) -> Result<u64> {
        response(&mut self.pending, look_again)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // Without it the part is killed.
        let _ = self.send(STOP);
    }
}

/// Requests and responses, each announced by an event that the other side sleeps for.
pub(crate) struct Sleepers {
    pending: VecDeque<Pending>,
    client: Caller,
    there: Notifier<ipc::Service>,
    back: Listener<ipc::Service>,
    _part: Part,
}

impl Sleepers {
    pub(crate) const WAY: &str = "sleepers";

    /// Starts another side.
    pub(crate) fn start() -> Result<(Part, String)> {
        part(Self::WAY, 1)
    }

    /// Waits for the other side.
    pub(crate) fn connect(node: &Node<ipc::Service>, (mut part, tag): (Part, String)) -> Result<Self> {
        part.wait_ready()?;
        Ok(Sleepers {
            pending: VecDeque::with_capacity(1),
            client: calls(node, &tag, 1)?.client_builder().create().map_err(failed("create a client"))?,
            there: notifier(node, &tag, "there")?,
            back: listener(node, &tag, "back")?,
            _part: part,
        })
    }

    pub(crate) fn serve(tag: &str) -> Result<()> {
        let node = node()?;
        let server = calls(&node, tag, 1)?.server_builder().create().map_err(failed("create a server"))?;
        let (there, back) = (listener(&node, tag, "there")?, notifier(&node, tag, "back")?);
        Part::ready()?;
        serve(&server, || notify(&back), || sleep(&there))
    }
}

fn notifier(node: &Node<ipc::Service>, tag: &str, way: &str) -> Result<Notifier<ipc::Service>> {
    bell(node, tag, way)?.notifier_builder().create().map_err(failed("create a notifier"))
}

fn listener(node: &Node<ipc::Service>, tag: &str, way: &str) -> Result<Listener<ipc::Service>> {
    bell(node, tag, way)?.listener_builder().create().map_err(failed("create a listener"))
}

fn notify(notifier: &Notifier<ipc::Service>) -> Result<()> {
    notifier.notify().map(drop).map_err(failed("notify"))
}

fn sleep(listener: &Listener<ipc::Service>) -> Result<()> {
    listener.blocking_wait(|_| {}).map(drop).map_err(failed("wait for an event"))
}

impl Call for Sleepers {
    fn send(&mut self, number: u64) -> Result<()> {
        self.pending.push_back(self.client.send_copy(number).map_err(failed("send a request"))?);
        notify(&self.there)
    }

    fn answer(&mut self) -> Result<u64> {
        response(&mut self.pending, || sleep(&self.back))
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        // Without it the part is killed.
        let _ = self.send(STOP);
    }
}

/// Samples there and back, both sides looking for them all the time.
pub(crate) struct Samples {
    there: Publisher<ipc::Service, u64, ()>,
    back: Subscriber<ipc::Service, u64, ()>,
    _part: Part,
}

impl Samples {
    pub(crate) const WAY: &str = "samples";

    /// Starts another side; so many samples fit into the buffer of each.
    pub(crate) fn connect(node: &Node<ipc::Service>, room: usize) -> Result<Self> {
        let (mut part, tag) = part(Self::WAY, room)?;
        part.wait_ready()?;
        let (there, back) = (numbers(node, &tag, "there", room)?, numbers(node, &tag, "back", room)?);
        Ok(Samples {
            there: there.publisher_builder().create().map_err(failed("create a publisher"))?,
            back: back.subscriber_builder().create().map_err(failed("create a subscriber"))?,
            _part: part,
        })
    }

    pub(crate) fn serve(tag: &str, room: usize) -> Result<()> {
        let node = node()?;
        let (there, back) = (numbers(&node, tag, "there", room)?, numbers(&node, tag, "back", room)?);
        let there = there.subscriber_builder().create().map_err(failed("create a subscriber"))?;
        let back = back.publisher_builder().create().map_err(failed("create a publisher"))?;
        Part::ready()?;
        loop {
            match receive(&there)? {
                STOP => return Ok(()),
                number => back.send_copy(number + 1).map(drop).map_err(failed("publish"))?,
            }
        }
    }
}

fn receive(subscriber: &Subscriber<ipc::Service, u64, ()>) -> Result<u64> {
    loop {
        if let Some(sample) = subscriber.receive().map_err(failed("receive a sample"))? {
            return Ok(*sample);
        }
        spin_loop();
    }
}

impl Call for Samples {
    fn send(&mut self, number: u64) -> Result<()> {
        self.there.send_copy(number).map(drop).map_err(failed("publish"))
    }

    fn answer(&mut self) -> Result<u64> {
        receive(&self.back)
    }
}

impl Drop for Samples {
    fn drop(&mut self) {
        // Without it the part is killed.
        let _ = self.send(STOP);
    }
}

/// Samples of many bytes there and a number back, both sides looking for them all the time.
pub(crate) struct Arrays {
    len: usize,
    there: Publisher<ipc::Service, [u8], ()>,
    back: Subscriber<ipc::Service, u64, ()>,
    _part: Part,
}

impl Arrays {
    pub(crate) const WAY: &str = "arrays";

    /// Starts another side; arrays have `len` bytes.
    pub(crate) fn connect(node: &Node<ipc::Service>, len: usize) -> Result<Self> {
        let (mut part, tag) = part(Self::WAY, 1)?;
        part.wait_ready()?;
        let there = bytes(node, &tag)?;
        let there = there.publisher_builder().initial_max_slice_len(len);
        Ok(Arrays {
            len,
            there: there.create().map_err(failed("create a publisher"))?,
            back: numbers(node, &tag, "back", 1)?
                .subscriber_builder()
                .create()
                .map_err(failed("create a subscriber"))?,
            _part: part,
        })
    }

    pub(crate) fn serve(tag: &str) -> Result<()> {
        let node = node()?;
        let there = bytes(&node, tag)?.subscriber_builder().create().map_err(failed("create a subscriber"))?;
        let back =
            numbers(&node, tag, "back", 1)?.publisher_builder().create().map_err(failed("create a publisher"))?;
        Part::ready()?;
        loop {
            let Some(array) = there.receive().map_err(failed("receive an array"))? else {
                spin_loop();
                continue;
            };
            let last = array.last().copied().unwrap_or(LAST_ARRAY);
            drop(array);
            if last == LAST_ARRAY {
                return Ok(());
            }
            back.send_copy(u64::from(last)).map_err(failed("publish"))?;
        }
    }

    /// Sends an array of which only the last byte is written, and returns that byte from the other side.
    pub(crate) fn lend(&mut self, last: u8) -> Result<u64> {
        self.publish(last)?;
        receive(&self.back)
    }

    /// Sends a copy of an array, and returns its last byte from the other side.
    pub(crate) fn copy(&mut self, source: &[u8]) -> Result<u64> {
        let sample = self.there.loan_slice_uninit(source.len()).map_err(failed("loan a sample"))?;
        sample.write_from_slice(source).send().map_err(failed("publish an array"))?;
        receive(&self.back)
    }

    fn publish(&mut self, last: u8) -> Result<()> {
        let mut sample = self.there.loan_slice_uninit(self.len).map_err(failed("loan a sample"))?;
        if let Some(place) = sample.payload_mut().last_mut() {
            place.write(last);
        }
        // SAFETY: the library's segments are mapped files, so that all bytes have a value: zero, or that of the
        // sample before. Any value is a byte.
        let sample = unsafe { sample.assume_init() };
        sample.send().map(drop).map_err(failed("publish an array"))
    }
}

impl Drop for Arrays {
    fn drop(&mut self) {
        // Without it the part is killed.
        let _ = self.publish(LAST_ARRAY);
    }
}
