//! The handles of a client, with bells, and what they cost.

use super::*;

/// A client without a store around it.
struct Client {
    shared: Arc<Shared>,
    key: ClientKey,
    mailboxes_dropped: AtomicUsize,
    drained: Mutex<Vec<ClientKey>>,
}

impl Client {
    fn new(shared: &Arc<Shared>, index: u16) -> Arc<Client> {
        let shared = Arc::clone(shared);
        Arc::new(Client { shared, key: key(index), mailboxes_dropped: AtomicUsize::new(0), drained: Mutex::default() })
    }
}

impl Host for Client {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn key(&self) -> ClientKey {
        self.key
    }

    fn mailbox_dropped(&self) {
        self.mailboxes_dropped.fetch_add(1, Ordering::SeqCst);
    }

    fn is_foreign(&self) -> bool {
        false
    }

    fn drained(&self, sender: ClientKey) {
        self.drained.lock().unwrap().push(sender);
    }
}

#[test]
fn handles_tell_their_client() {
    let shared = Arc::new(shared());
    let [a, b] = [0, 1].map(|index| Client::new(&shared, index));
    let mut sender = RingSender::open(a.clone(), key(1)).unwrap();
    assert_eq!(sender.peer(), key(1));
    sender.try_send(b"x", false).unwrap();
    let mut mailbox = Mailbox::new(b.clone());
    drop(sender);
    die(&shared, key(0));
    assert_eq!(mailbox.poll(8, &mut |from, frame| assert_eq!((from, frame), (key(0), &b"x"[..]))), 1);
    assert_eq!(mailbox.poll(8, &mut |_, _| {}), 0);
    assert_eq!(*b.drained.lock().unwrap(), [key(0)]);
    assert!(!mailbox.has_work());
    drop(mailbox);
    assert_eq!(b.mailboxes_dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn an_acknowledgement_wakes_the_sender() {
    let shared = Arc::new(shared());
    let [a, b] = [0, 1].map(|index| Client::new(&shared, index));
    thread::scope(|scope| {
        scope.spawn(|| {
            let bell = Bell::new(a.clone());
            let mut sender = RingSender::open(a.clone(), key(1)).unwrap();
            for _ in 0..2_000 {
                bell.poll_begin();
                let position = sender.try_send(b"hold this", true).unwrap();
                while sender.taken() < position {
                    let rung = bell.park(Role::User, &|| sender.taken() >= position, Some(LIMIT));
                    assert!(rung, "no acknowledgement");
                }
                bell.poll_end(&|| false);
            }
            sender.try_send(b"over", false).unwrap();
        });
        let bell = Bell::new(b.clone());
        let mut mailbox = Mailbox::new(b.clone());
        let mut over = false;
        while !over {
            mailbox.poll(8, &mut |_, frame| over = frame == b"over");
            if !over {
                assert!(bell.park(Role::Service, &|| mailbox.has_work(), Some(LIMIT)), "no frame");
            }
        }
    });
}

/// Answers every frame, asleep between frames.
fn echo(host: Arc<Client>, to: ClientKey, role: Role, frames: u64) {
    let bell = Bell::new(host.clone());
    let mut mailbox = Mailbox::new(host.clone());
    let mut sender = RingSender::open(host, to).unwrap();
    let mut answered = 0;
    while answered < frames {
        let count = mailbox.poll(8, &mut |_, frame| {
            sender.try_send(frame, false).unwrap();
            answered += 1;
        });
        if count == 0 {
            assert!(bell.park(role, &|| mailbox.has_work(), Some(LIMIT)), "frame {answered} was not heard of");
        }
    }
}

#[test]
fn calls_and_answers_between_sleepers() {
    const CALLS: u64 = 10_000;
    for role in [Role::User, Role::Service] {
        let shared = Arc::new(shared());
        let [a, b] = [0, 1].map(|index| Client::new(&shared, index));
        thread::scope(|scope| {
            scope.spawn(move || echo(b, key(0), role, CALLS));
            let bell = Bell::new(a.clone());
            let mut mailbox = Mailbox::new(a.clone());
            let mut sender = RingSender::open(a, key(1)).unwrap();
            for call in 0..CALLS {
                bell.poll_begin();
                sender.try_send(&call.to_le_bytes(), false).unwrap();
                let mut answer = None;
                while answer.is_none() {
                    mailbox.poll(1, &mut |_, frame| answer = Some(frame.to_vec()));
                    if answer.is_none() {
                        assert!(bell.park(Role::User, &|| mailbox.has_work(), Some(LIMIT)), "no answer to {call}");
                    }
                }
                assert_eq!(answer.unwrap(), call.to_le_bytes());
                bell.poll_end(&|| mailbox.has_work());
            }
        });
    }
}
