//! Amounts of CPUs, GPUs and custom resources: what work asks for, what a node has, who got what.
//!
//! Amounts are counted in ten-thousandths ([`UNITS`] to one), so that taking and giving back a
//! thousand fractions leaves exactly what was there before.
//!
//! ```text
//!   Demand ---- Pool::take ----> Grant ---- Pool::give_back ----> Pool as before
//!   (asked)                      (held)
//!                                  | lend_cpu / reclaim_cpu while a task waits
//! ```
//!
//! Invariants:
//! - SC-1: for each resource, the available amount plus that of all grants (less the CPUs they
//!   lend) is the total.
//! - SC-2: only the available CPUs can be below zero, and only after [`Pool::reclaim_cpu`]; no
//!   report shows it.
//! - SC-3: a GPU demand above one takes whole devices; one below lies on a single device, on one
//!   that is already in part use if it fits there.
//!
//! This module neither queues nor chooses: it answers whether a demand fits now, or ever.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::protocol::Granted;

/// How many units one CPU, GPU or custom resource has.
pub const UNITS: u64 = 10_000;

/// The name of the CPUs in resource maps.
pub const CPU: &str = "CPU";

/// The name of the GPUs in resource maps.
pub const GPU: &str = "GPU";

/// More than any machine has, and few enough that sums of units cannot overflow.
const LARGEST: f64 = 1e12;

/// An amount or name of a resource that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// The amount is negative, not a number or beyond any machine.
    #[error("{name} must be a number between 0 and {LARGEST:e}, not {amount}")]
    Amount {
        /// The resource.
        name: String,
        /// What was asked for.
        amount: f64,
    },
    /// More than one GPU, and not a whole number of them.
    #[error("{GPU} above 1 must be a whole number, not {amount}")]
    PartGpus {
        /// What was asked for.
        amount: f64,
    },
    /// A custom resource without a name, or with that of a built-in one.
    #[error("a custom resource needs a name other than {CPU} and {GPU}, not {name:?}")]
    Name {
        /// The name given.
        name: String,
    },
}

/// Converts an amount into units, to the nearest ten-thousandth.
///
/// A positive amount never becomes nothing: below one unit it is one unit.
///
/// # Errors
///
/// Fails for an amount that is negative, not a number, or larger than any machine.
pub fn units(name: &str, amount: f64) -> Result<u64, ResourceError> {
    if !(0.0..=LARGEST).contains(&amount) {
        return Err(ResourceError::Amount { name: name.to_owned(), amount });
    }
    let rounded = (amount * UNITS as f64).round() as u64;
    Ok(if amount > 0.0 { rounded.max(1) } else { 0 })
}

/// Converts units into an amount.
pub fn amount(units: u64) -> f64 {
    units as f64 / UNITS as f64
}

fn gpu_units(amount: f64) -> Result<u64, ResourceError> {
    let units = units(GPU, amount)?;
    if units > UNITS && units % UNITS != 0 {
        return Err(ResourceError::PartGpus { amount });
    }
    Ok(units)
}

fn check_name(name: &str) -> Result<(), ResourceError> {
    if name.is_empty() || name == CPU || name == GPU {
        return Err(ResourceError::Name { name: name.to_owned() });
    }
    Ok(())
}

/// What a task holds while it runs, or an actor for life.
///
/// # Examples
///
/// ```
/// use mobula_scheduler::resources::Demand;
///
/// let demand = Demand::new().cpus(1.0)?.gpus(0.5)?.custom("licence", 1.0)?;
/// assert_eq!(demand.amounts(), [("CPU".into(), 1.0), ("GPU".into(), 0.5), ("licence".into(), 1.0)]);
/// assert!(Demand::new().gpus(1.5).is_err());
/// # Ok::<(), mobula_scheduler::resources::ResourceError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Demand {
    cpu: u64,
    gpu: u64,
    custom: BTreeMap<String, u64>,
}

impl Demand {
    /// Makes a demand for nothing.
    pub fn new() -> Self {
        Demand::default()
    }

    /// Sets the CPUs.
    ///
    /// # Errors
    ///
    /// Fails for an amount that is negative or not a number.
    pub fn cpus(mut self, amount: f64) -> Result<Self, ResourceError> {
        self.cpu = units(CPU, amount)?;
        Ok(self)
    }

    /// Sets the GPUs.
    ///
    /// # Errors
    ///
    /// Fails for an amount that is negative, not a number, or above one and not whole.
    pub fn gpus(mut self, amount: f64) -> Result<Self, ResourceError> {
        self.gpu = gpu_units(amount)?;
        Ok(self)
    }

    /// Sets a custom resource; an amount of zero takes it out.
    ///
    /// # Errors
    ///
    /// Fails for an empty or built-in name and for an amount that is negative or not a number.
    pub fn custom(mut self, name: impl Into<String>, amount: f64) -> Result<Self, ResourceError> {
        let name = name.into();
        check_name(&name)?;
        match units(&name, amount)? {
            0 => self.custom.remove(&name),
            units => self.custom.insert(name, units),
        };
        Ok(self)
    }

    /// Returns true if nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.cpu == 0 && self.gpu == 0 && self.custom.is_empty()
    }

    /// Returns true if GPUs are asked for.
    pub fn has_gpus(&self) -> bool {
        self.gpu > 0
    }

    /// Returns how many threads such work has processors for: its CPUs, rounded up, at least 1.
    pub fn threads(&self) -> u32 {
        u32::try_from(self.cpu.div_ceil(UNITS)).unwrap_or(u32::MAX).max(1)
    }

    /// Returns true if CPUs are all that is asked for.
    pub fn is_cpu_only(&self) -> bool {
        self.gpu == 0 && self.custom.is_empty()
    }

    /// Returns every resource that is asked for with its amount: CPU, GPU, then the custom ones by name.
    pub fn amounts(&self) -> Vec<(String, f64)> {
        self.entries().map(|(name, units)| (name.to_owned(), amount(units))).collect()
    }

    fn entries(&self) -> impl Iterator<Item = (&str, u64)> {
        let custom = self.custom.iter().map(|(name, &units)| (name.as_str(), units));
        [(CPU, self.cpu), (GPU, self.gpu)].into_iter().chain(custom).filter(|&(_, units)| units > 0)
    }
}

/// Names what `totals` can never satisfy of `demand`, or `None` if it fits an idle node.
///
/// `totals` is the map that the node reports: name, total, available.
pub fn shortage(demand: &Demand, totals: &[(String, f64, f64)]) -> Option<String> {
    shortage_of(demand, |name| {
        totals.iter().find(|(known, ..)| known == name).and_then(|(_, total, _)| units(name, *total).ok())
    })
}

fn shortage_of(demand: &Demand, total: impl Fn(&str) -> Option<u64>) -> Option<String> {
    demand.entries().find_map(|(name, asked)| {
        let total = total(name).unwrap_or(0);
        (asked > total).then(|| format!("it needs {} {name}, and the node has {} in all", amount(asked), amount(total)))
    })
}

/// What was taken out of a [`Pool`]; goes back with [`Pool::give_back`].
#[derive(Debug)]
#[must_use = "a grant that is dropped is lost to its pool"]
pub struct Grant {
    demand: Demand,
    /// Device and units on it, ascending by device.
    gpus: Vec<(u32, u64)>,
    /// The processors that are its alone, if there are any.
    processors: Vec<u32>,
    lent: bool,
}

impl Grant {
    /// Describes the grant to the process that gets it.
    pub fn describe(&self) -> Granted {
        Granted {
            gpu_ids: self.gpus.iter().map(|&(id, _)| id).collect(),
            amounts: self.demand.amounts(),
            threads: self.demand.threads(),
            processors: self.processors.clone(),
        }
    }

    /// Returns the ids of its GPUs, ascending.
    pub fn gpu_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.gpus.iter().map(|&(id, _)| id)
    }

    /// Returns true while its CPUs are lent.
    pub fn is_lent(&self) -> bool {
        self.lent
    }
}

#[derive(Debug, Clone, Copy)]
struct Stock {
    total: u64,
    free: u64,
}

/// All resources of a node: totals and what is free of them.
#[derive(Debug)]
pub struct Pool {
    cpu_total: u64,
    cpu_free: i64,
    gpus: Vec<Stock>,
    custom: BTreeMap<String, Stock>,
    /// The processors that nobody has alone; none if they are not given out.
    processors: BTreeSet<u32>,
}

impl Pool {
    /// Makes a pool with everything free.
    ///
    /// # Errors
    ///
    /// Fails for amounts and names that make no sense, as [`Demand`] does.
    pub fn new(cpus: f64, gpus: f64, custom: &BTreeMap<String, f64>) -> Result<Self, ResourceError> {
        let cpu_total = units(CPU, cpus)?;
        let mut left = gpu_units(gpus)?;
        let mut devices = Vec::new();
        while left > 0 {
            let total = left.min(UNITS);
            devices.push(Stock { total, free: total });
            left -= total;
        }
        let mut stocks = BTreeMap::new();
        for (name, &amount) in custom {
            check_name(name)?;
            let total = units(name, amount)?;
            stocks.insert(name.clone(), Stock { total, free: total });
        }
        let (cpu_free, processors) = (cpu_total as i64, BTreeSet::new());
        Ok(Pool { cpu_total, cpu_free, gpus: devices, custom: stocks, processors })
    }

    /// Has processors given to what takes whole CPUs, each to one at a time.
    #[must_use]
    pub fn with_processors(mut self, processors: impl IntoIterator<Item = u32>) -> Self {
        self.processors = processors.into_iter().collect();
        self
    }

    /// Returns the total CPUs.
    pub fn total_cpus(&self) -> f64 {
        amount(self.cpu_total)
    }

    /// Returns the total GPUs.
    pub fn total_gpus(&self) -> f64 {
        amount(self.gpu_total())
    }

    /// Names what the totals can never satisfy of `demand`, or `None` if it fits an idle node.
    pub fn infeasible(&self, demand: &Demand) -> Option<String> {
        shortage_of(demand, |name| match name {
            CPU => Some(self.cpu_total),
            GPU => Some(self.gpu_total()),
            custom => self.custom.get(custom).map(|stock| stock.total),
        })
    }

    /// Returns true if `demand` could be taken now.
    pub fn fits(&self, demand: &Demand) -> bool {
        (demand.cpu == 0 || demand.cpu as i64 <= self.cpu_free)
            && demand.custom.iter().all(|(name, &asked)| self.custom.get(name).is_some_and(|stock| asked <= stock.free))
            && self.choose_gpus(demand.gpu).is_some()
    }

    /// Returns true if `demand` could be taken once `grant`, which holds no GPUs, is back.
    pub fn fits_with(&self, demand: &Demand, grant: &Grant) -> bool {
        let cpus = self.cpu_free + if grant.lent { 0 } else { grant.demand.cpu as i64 };
        let custom = |name: &String| {
            let back = grant.demand.custom.get(name).copied().unwrap_or(0);
            self.custom.get(name).map_or(0, |stock| stock.free + back)
        };
        (demand.cpu == 0 || demand.cpu as i64 <= cpus)
            && demand.custom.iter().all(|(name, &asked)| asked <= custom(name))
            && self.choose_gpus(demand.gpu).is_some()
    }

    /// Takes `demand` out of the pool, or returns `None` and leaves the pool as it is.
    pub fn take(&mut self, demand: &Demand) -> Option<Grant> {
        if !self.fits(demand) {
            return None;
        }
        let gpus = self.choose_gpus(demand.gpu)?;
        for &(id, units) in &gpus {
            if let Some(device) = self.gpus.get_mut(id as usize) {
                device.free -= units;
            }
        }
        self.cpu_free -= demand.cpu as i64;
        for (name, &units) in &demand.custom {
            if let Some(stock) = self.custom.get_mut(name) {
                stock.free -= units;
            }
        }
        let processors = self.take_processors(demand.cpu);
        Some(Grant { demand: demand.clone(), gpus, processors, lent: false })
    }

    /// Puts a grant back, whatever it has lent.
    pub fn give_back(&mut self, grant: Grant) {
        if !grant.lent {
            self.cpu_free += grant.demand.cpu as i64;
        }
        self.processors.extend(grant.processors);
        for (id, units) in grant.gpus {
            if let Some(device) = self.gpus.get_mut(id as usize) {
                device.free += units;
            }
        }
        for (name, units) in grant.demand.custom {
            if let Some(stock) = self.custom.get_mut(&name) {
                stock.free += units;
            }
        }
    }

    /// Frees the CPUs of a grant whose task waits; its GPUs and custom resources stay taken.
    pub fn lend_cpu(&mut self, grant: &mut Grant) {
        if !std::mem::replace(&mut grant.lent, true) {
            self.cpu_free += grant.demand.cpu as i64;
        }
    }

    /// Takes lent CPUs back at once, even if others use them now.
    pub fn reclaim_cpu(&mut self, grant: &mut Grant) {
        if std::mem::replace(&mut grant.lent, false) {
            self.cpu_free -= grant.demand.cpu as i64;
        }
    }

    /// Returns every resource with its total and available amount: CPU, GPU (if there are any), then the
    /// custom ones by name.
    pub fn report(&self) -> Vec<(String, f64, f64)> {
        let mut all = vec![(CPU.to_owned(), self.total_cpus(), amount(self.cpu_free.max(0) as u64))];
        if !self.gpus.is_empty() {
            let free = self.gpus.iter().map(|device| device.free).sum();
            all.push((GPU.to_owned(), self.total_gpus(), amount(free)));
        }
        let custom = self.custom.iter();
        all.extend(custom.map(|(name, stock)| (name.clone(), amount(stock.total), amount(stock.free))));
        all
    }

    /// Takes as many processors as `cpu` has whole CPUs: the lowest free ones, or none if there are too few.
    fn take_processors(&mut self, cpu: u64) -> Vec<u32> {
        let count = usize::try_from(cpu / UNITS).unwrap_or(usize::MAX);
        if !cpu.is_multiple_of(UNITS) || self.processors.len() < count {
            return Vec::new();
        }
        let taken: Vec<u32> = self.processors.iter().copied().take(count).collect();
        self.processors.retain(|number| !taken.contains(number));
        taken
    }

    fn gpu_total(&self) -> u64 {
        self.gpus.iter().map(|device| device.total).sum()
    }

    /// Chooses devices for `asked` units by SC-3: the lowest free ones, or for a fraction the device in use
    /// with the least left that still has enough.
    fn choose_gpus(&self, asked: u64) -> Option<Vec<(u32, u64)>> {
        let devices = (0_u32..).zip(&self.gpus);
        if asked == 0 {
            return Some(Vec::new());
        }
        if asked >= UNITS {
            let count = (asked / UNITS) as usize;
            let free: Vec<_> =
                devices.filter(|(_, device)| device.free == UNITS).map(|(id, _)| (id, UNITS)).take(count).collect();
            return (free.len() == count).then_some(free);
        }
        let fitting = devices.filter(|(_, device)| device.free >= asked);
        let best = fitting.min_by_key(|&(id, device)| (device.free == device.total, device.free, id));
        best.map(|(id, _)| vec![(id, asked)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(cpus: f64, gpus: f64) -> Pool {
        Pool::new(cpus, gpus, &BTreeMap::from([("licence".to_owned(), 2.0)])).unwrap()
    }

    fn gpus(amount: f64) -> Demand {
        Demand::new().gpus(amount).unwrap()
    }

    fn cpus(amount: f64) -> Demand {
        Demand::new().cpus(amount).unwrap()
    }

    fn ids(grant: &Grant) -> Vec<u32> {
        grant.gpu_ids().collect()
    }

    #[test]
    fn amounts_without_sense_are_refused() {
        for bad in [-1.0, -0.0001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(Demand::new().cpus(bad).is_err(), "{bad}");
            assert!(Demand::new().gpus(bad).is_err(), "{bad}");
            assert!(Demand::new().custom("a", bad).is_err(), "{bad}");
            assert!(Pool::new(bad, 0.0, &BTreeMap::new()).is_err(), "{bad}");
        }
        assert!(matches!(Demand::new().gpus(1.5), Err(ResourceError::PartGpus { .. })));
        for name in ["", "CPU", "GPU"] {
            assert!(matches!(Demand::new().custom(name, 1.0), Err(ResourceError::Name { .. })));
        }
    }

    #[test]
    fn amounts_are_rounded_to_a_ten_thousandth_and_never_to_nothing() {
        assert_eq!(units(CPU, 0.000_01).unwrap(), 1);
        assert_eq!(units(CPU, 0.1 + 0.2).unwrap(), 3_000);
        assert_eq!(units(CPU, 1.000_04).unwrap(), 10_000);
        assert_eq!(units(CPU, 0.0).unwrap(), 0);
        assert_eq!(units(CPU, -0.0).unwrap(), 0);
    }

    #[test]
    fn a_thousand_fractions_leave_no_trace() {
        let mut pool = pool(100.0, 0.0);
        let demand = cpus(0.1);
        let grants: Vec<_> = std::iter::from_fn(|| pool.take(&demand)).collect();
        assert_eq!(grants.len(), 1_000);
        assert_eq!(pool.report()[0], (CPU.to_owned(), 100.0, 0.0));
        for grant in grants {
            pool.give_back(grant);
        }
        assert_eq!(pool.report()[0], (CPU.to_owned(), 100.0, 100.0));
    }

    #[test]
    fn gpus_are_the_lowest_free_ones() {
        let mut pool = pool(1.0, 4.0);
        let first = pool.take(&gpus(1.0)).unwrap();
        let second = pool.take(&gpus(2.0)).unwrap();
        assert_eq!((ids(&first), ids(&second)), (vec![0], vec![1, 2]));
        assert!(pool.take(&gpus(2.0)).is_none());
        pool.give_back(first);
        let third = pool.take(&gpus(2.0)).unwrap();
        assert_eq!(ids(&third), [0, 3]);
        pool.give_back(second);
        pool.give_back(third);
        assert_eq!(pool.report()[1], (GPU.to_owned(), 4.0, 4.0));
    }

    #[test]
    fn whole_cpus_have_processors_of_their_own() {
        let mut pool = Pool::new(4.0, 0.0, &BTreeMap::new()).unwrap().with_processors([2, 5, 7]);
        let cpus = |amount| Demand::new().cpus(amount).unwrap();
        let mut two = pool.take(&cpus(2.0)).unwrap();
        assert_eq!((two.describe().processors, two.describe().threads), (vec![2, 5], 2));
        let part = pool.take(&cpus(0.5)).unwrap();
        assert_eq!((part.describe().processors, part.describe().threads), (vec![], 1));
        pool.lend_cpu(&mut two);
        let unbound = pool.take(&cpus(2.0)).unwrap();
        assert_eq!(unbound.describe().processors, [0; 0], "what is lent keeps its processors");
        pool.give_back(unbound);
        assert_eq!(pool.take(&cpus(0.0)).unwrap().describe().processors, [0; 0]);
        let one = pool.take(&cpus(1.0)).unwrap();
        assert_eq!(one.describe().processors, [7]);
        pool.give_back(two);
        assert_eq!(pool.take(&cpus(1.0)).unwrap().describe().processors, [2]);
    }

    #[test]
    fn fractions_of_gpus_are_packed() {
        let mut pool = pool(1.0, 2.0);
        let a = pool.take(&gpus(0.5)).unwrap();
        let b = pool.take(&gpus(0.5)).unwrap();
        let c = pool.take(&gpus(0.7)).unwrap();
        assert_eq!((ids(&a), ids(&b), ids(&c)), (vec![0], vec![0], vec![1]));
        assert!(pool.take(&gpus(0.5)).is_none(), "0.3 is left on one device and nothing on the other");
        let d = pool.take(&gpus(0.3)).unwrap();
        assert_eq!(ids(&d), [1]);
        pool.give_back(a);
        assert!(pool.take(&gpus(1.0)).is_none(), "half of device 0 is still in use");
        pool.give_back(b);
        let whole = pool.take(&gpus(1.0)).unwrap();
        assert_eq!(ids(&whole), [0]);
        for grant in [c, d, whole] {
            pool.give_back(grant);
        }
    }

    #[test]
    fn lent_cpus_come_back_even_if_they_are_in_use() {
        let mut pool = pool(1.0, 0.0);
        let mut parent = pool.take(&cpus(1.0)).unwrap();
        assert!(pool.take(&cpus(1.0)).is_none());
        pool.lend_cpu(&mut parent);
        pool.lend_cpu(&mut parent);
        let child = pool.take(&cpus(1.0)).unwrap();
        pool.reclaim_cpu(&mut parent);
        assert_eq!(pool.report()[0], (CPU.to_owned(), 1.0, 0.0));
        assert!(pool.take(&cpus(0.5)).is_none());
        assert!(pool.take(&Demand::new()).is_some(), "what needs nothing always fits");
        pool.give_back(child);
        assert!(!pool.fits(&cpus(0.5)));
        pool.lend_cpu(&mut parent);
        pool.give_back(parent);
        assert_eq!(pool.report()[0], (CPU.to_owned(), 1.0, 1.0));
    }

    #[test]
    fn custom_resources_and_a_refused_take_change_nothing() {
        let mut pool = pool(1.0, 0.0);
        let demand = Demand::new().cpus(0.5).unwrap().custom("licence", 2.0).unwrap();
        let held = pool.take(&demand).unwrap();
        assert!(pool.take(&demand).is_none());
        assert_eq!(pool.report(), [(CPU.to_owned(), 1.0, 0.5), ("licence".to_owned(), 2.0, 0.0)]);
        pool.give_back(held);
        assert!(pool.take(&Demand::new().custom("other", 0.1).unwrap()).is_none());
    }

    #[test]
    fn what_can_never_fit_is_named() {
        let pool = pool(2.0, 1.0);
        assert_eq!(pool.infeasible(&cpus(2.0)), None);
        let message = pool.infeasible(&cpus(8.0)).unwrap();
        assert_eq!(message, "it needs 8 CPU, and the node has 2 in all");
        assert!(pool.infeasible(&gpus(2.0)).unwrap().contains("2 GPU"));
        let custom = Demand::new().custom("tpu", 1.0).unwrap();
        assert_eq!(pool.infeasible(&custom).unwrap(), "it needs 1 tpu, and the node has 0 in all");
        assert_eq!(shortage(&custom, &pool.report()), pool.infeasible(&custom));
        assert_eq!(shortage(&cpus(2.0), &pool.report()), None);
    }
}
