//! Which of an actor's calls may start now: its concurrency groups, their queues and their limits.
//!
//! ```text
//!                        +--> default  [ call | call | ... ]  runs up to max_concurrency at once
//!   call, its group -----+--> io       [ call ]               runs up to its limit
//!                        +--> health   [ ]
//! ```
//!
//! *The rule.* Of the groups that have a free place, the call that came first is next. If it runs alone (`&mut self`) it
//! waits until nothing runs, and meanwhile nothing else starts: all the others came later. So
//!
//! - **WK-40** calls of one group start in the order of arrival, and no group runs more than its limit;
//! - **WK-41** a call that runs alone runs beside no other, and is overtaken only while its own group has no place;
//! - **WK-42** a group without a free place holds up no other.
//!
//! The loop of a graph (graph.rs) is no such call: it runs *apart*, for as long as the graph lives, beside all calls; for
//! each of its steps it takes the value's lock as a call of that kind has it.
//!
//! Nothing in here waits or wakes; who has the executor's lock calls it (`crew.rs`).

use std::collections::VecDeque;

/// The group of calls that are in none.
pub(super) const DEFAULT: usize = 0;

/// The groups of one actor; the first is the default group.
#[derive(Debug)]
pub(super) struct Groups<J> {
    groups: Vec<Group<J>>,
    arrivals: u64,
    running: u32,
    /// What runs runs alone.
    alone: bool,
}

#[derive(Debug)]
struct Group<J> {
    name: String,
    /// What runs in it runs beside all others, also beside one that runs alone.
    apart: bool,
    limit: u32,
    running: u32,
    queue: VecDeque<Waiting<J>>,
}

#[derive(Debug)]
struct Waiting<J> {
    arrival: u64,
    alone: bool,
    job: J,
}

/// The place that a call has while it runs; to be given to [`Groups::end`].
#[derive(Debug)]
#[must_use = "a place that is not given back is lost"]
pub(super) struct Place {
    group: usize,
}

impl<J> Group<J> {
    fn new(name: String, apart: bool, limit: u32) -> Self {
        Group { name, apart, limit, running: 0, queue: VecDeque::new() }
    }
}

impl<J> Groups<J> {
    pub(super) fn new(limit: u32, named: &[(String, u32)]) -> Self {
        let group = |(name, limit): (String, u32)| Group::new(name, false, limit);
        let default = (String::new(), limit);
        let apart = Group::new(String::new(), true, 1);
        let groups = std::iter::once(default).chain(named.iter().cloned()).map(group).chain([apart]).collect();
        Groups { groups, arrivals: 0, running: 0, alone: false }
    }

    /// Returns the group, without a name, of what runs beside all others: the loops of graphs.
    pub(super) fn apart(&self) -> usize {
        self.groups.len() - 1
    }

    /// Returns the group of a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        (1..self.apart()).find(|&index| self.groups[index].name == name)
    }

    /// Returns the names, without that of the default group, which has none.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.groups[1..self.apart()].iter().map(|group| group.name.as_str())
    }

    /// Returns how many calls can run at once.
    pub(super) fn most(&self) -> u32 {
        self.groups.iter().fold(0, |sum, group| sum.saturating_add(group.limit))
    }

    /// Queues a call behind those of its group.
    pub(super) fn add(&mut self, group: usize, alone: bool, job: J) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.groups[group].queue.push_back(Waiting { arrival, alone, job });
    }

    /// Starts the next call, if one may start.
    pub(super) fn start(&mut self) -> Option<(J, Place)> {
        let index = self.next()?;
        let group = &mut self.groups[index];
        let Waiting { alone, job, .. } = group.queue.pop_front()?;
        group.running += 1;
        if !group.apart {
            self.running += 1;
            self.alone = alone;
        }
        Some((job, Place { group: index }))
    }

    /// A call that was started has ended.
    pub(super) fn end(&mut self, place: Place) {
        let group = &mut self.groups[place.group];
        group.running -= 1;
        if !group.apart {
            self.running -= 1;
            self.alone = false;
        }
    }

    /// True if a call may start now.
    pub(super) fn may_start(&self) -> bool {
        self.next().is_some()
    }

    pub(super) fn running(&self) -> u32 {
        self.running
    }

    /// True if nothing runs and nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| group.running == 0 && group.queue.is_empty())
    }

    /// Returns the group whose first call may start.
    fn next(&self) -> Option<usize> {
        let apart = self.apart();
        if self.groups[apart].running < self.groups[apart].limit && !self.groups[apart].queue.is_empty() {
            return Some(apart);
        }
        if self.alone {
            return None;
        }
        let waiting = self.groups[..apart].iter().enumerate().filter(|(_, group)| group.running < group.limit);
        let firsts = waiting.filter_map(|(index, group)| Some((index, group.queue.front()?)));
        let (index, first) = firsts.min_by_key(|(_, first)| first.arrival)?;
        (!first.alone || self.running == 0).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: bool = false;
    const WRITE: bool = true;

    fn groups(limit: u32, named: &[(&str, u32)]) -> Groups<&'static str> {
        let named: Vec<_> = named.iter().map(|&(name, limit)| (name.to_owned(), limit)).collect();
        Groups::new(limit, &named)
    }

    /// Starts all that may start.
    fn start_all(groups: &mut Groups<&'static str>) -> (Vec<&'static str>, Vec<Place>) {
        std::iter::from_fn(|| groups.start()).unzip()
    }

    #[test]
    fn readers_start_in_order_up_to_the_limit() {
        let mut groups = groups(2, &[]);
        for job in ["a", "b", "c"] {
            groups.add(DEFAULT, READ, job);
        }
        let (started, mut places) = start_all(&mut groups);
        assert_eq!(started, ["a", "b"]);
        groups.end(places.remove(0));
        let (started, more) = start_all(&mut groups);
        assert_eq!(started, ["c"]);
        places.into_iter().chain(more).for_each(|place| groups.end(place));
        assert!(groups.is_empty());
    }

    #[test]
    fn a_writer_waits_for_all_and_is_not_overtaken() {
        let mut groups = groups(4, &[("io", 2)]);
        let io = groups.find("io").unwrap();
        groups.add(DEFAULT, READ, "a");
        groups.add(io, READ, "b");
        let (started, mut places) = start_all(&mut groups);
        assert_eq!(started, ["a", "b"]);
        groups.add(DEFAULT, WRITE, "w");
        groups.add(DEFAULT, READ, "c");
        groups.add(io, READ, "d");
        assert!(!groups.may_start(), "later calls of all groups wait for it");
        groups.end(places.remove(0));
        assert!(!groups.may_start());
        groups.end(places.remove(0));
        let (started, mut places) = start_all(&mut groups);
        assert_eq!(started, ["w"], "alone");
        groups.end(places.remove(0));
        let (started, _places) = start_all(&mut groups);
        assert_eq!(started, ["c", "d"]);
    }

    #[test]
    fn what_came_before_a_writer_of_another_group_goes_first() {
        let mut groups = groups(1, &[("io", 1)]);
        let io = groups.find("io").unwrap();
        groups.add(DEFAULT, WRITE, "w1");
        groups.add(io, READ, "a");
        groups.add(DEFAULT, WRITE, "w2");
        for expected in ["w1", "a", "w2"] {
            let (started, mut places) = start_all(&mut groups);
            assert_eq!(started, [expected]);
            groups.end(places.remove(0));
        }
    }

    #[test]
    fn a_full_group_holds_up_no_other_with_a_writer_in_it_either() {
        let mut groups = groups(1, &[("health", 1)]);
        let health = groups.find("health").unwrap();
        groups.add(DEFAULT, READ, "stuck");
        groups.add(DEFAULT, WRITE, "w");
        let (started, _places) = start_all(&mut groups);
        assert_eq!(started, ["stuck"]);
        groups.add(health, READ, "health");
        let (started, _places) = start_all(&mut groups);
        assert_eq!(started, ["health"]);
    }

    #[test]
    fn the_default_group_has_no_name() {
        let groups = groups(3, &[("io", 2)]);
        assert_eq!(groups.find(""), None);
        assert_eq!(groups.names().collect::<Vec<_>>(), ["io"]);
        assert_eq!(groups.most(), 6, "and a graph's loop");
    }

    #[test]
    fn what_runs_apart_holds_up_nothing_and_is_held_up_by_nothing() {
        let mut groups = groups(1, &[("io", 1)]);
        groups.add(DEFAULT, WRITE, "w1");
        let (started, mut places) = start_all(&mut groups);
        assert_eq!(started, ["w1"]);
        let apart = groups.apart();
        groups.add(apart, READ, "graph");
        groups.add(apart, READ, "another graph");
        let (started, mut loops) = start_all(&mut groups);
        assert_eq!(started, ["graph"]);
        groups.end(places.remove(0));
        groups.add(DEFAULT, WRITE, "w2");
        let (started, mut places) = start_all(&mut groups);
        assert_eq!(started, ["w2"]);
        groups.end(places.remove(0));
        assert!(!groups.is_empty(), "the graph's loop runs");
        groups.end(loops.remove(0));
        let (started, mut loops) = start_all(&mut groups);
        assert_eq!(started, ["another graph"]);
        groups.end(loops.remove(0));
        assert!(groups.is_empty());
    }
}
