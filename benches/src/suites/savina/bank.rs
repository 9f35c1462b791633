//! Accounts that hand money on: teller -> source -> destination -> source -> teller.
//!
//! An account goes on with other transfers while it waits for a confirmation: nobody overdraws, since
//! debts are allowed.

#![allow(unreachable_pub, reason = "remote methods are `pub`")]

use mobula::prelude::*;

use super::{dismiss, until};
use crate::error::{Result, check};
use crate::limits::Limit;
use crate::session::Session;

#[derive(Debug)]
struct Account {
    own: usize,
    all: Vec<ActorHandle<Account>>,
    teller: ActorHandle<Teller>,
    balance: i64,
}

#[mobula::actor]
impl Account {
    pub fn new(own: usize, teller: ActorHandle<Teller>) -> Self {
        Account { own, all: Vec::new(), teller, balance: START }
    }

    pub fn meet(&mut self, all: Vec<ActorHandle<Account>>) {
        self.all = all;
    }

    /// Hands an amount on.
    pub fn transfer(&mut self, amount: i64, to: usize) {
        if let Some(to) = self.all.get(to) {
            self.balance -= amount;
            drop(to.deposit(amount, self.own).remote());
        }
    }

    pub fn deposit(&mut self, amount: i64, from: usize) {
        self.balance += amount;
        if let Some(from) = self.all.get(from) {
            drop(from.confirm().remote());
        }
    }

    pub fn confirm(&self) {
        drop(self.teller.count().remote());
    }

    pub fn balance(&self) -> i64 {
        self.balance
    }
}

#[derive(Debug, Default)]
struct Teller {
    accounts: Vec<ActorHandle<Account>>,
    confirmed: u64,
}

#[mobula::actor]
impl Teller {
    pub fn new() -> Self {
        Teller::default()
    }

    pub fn meet(&mut self, accounts: Vec<ActorHandle<Account>>) {
        self.accounts = accounts;
    }

    /// Orders transfers between neighbours, each account paying as often as any other.
    pub fn order(&mut self, transfers: u64) {
        for number in 0..transfers as usize {
            let from = number % self.accounts.len();
            let to = (from + 1 + number % (self.accounts.len() - 1)) % self.accounts.len();
            drop(self.accounts[from].transfer(number as i64 % 100, to).remote());
        }
    }

    pub fn count(&mut self) {
        self.confirmed += 1;
    }

    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }
}

const ACCOUNTS: usize = 4;
/// What everybody begins with.
const START: i64 = 1_000;

pub(super) fn measure(session: &mut Session<'_>) -> Result<()> {
    const ROW: &str = "banking";
    let transfers = session.count(20_000, 400) as u64;
    let teller = Teller::remote()?;
    let accounts = (0..ACCOUNTS).map(|own| Account::remote(own, &teller)).collect::<mobula::Result<Vec<_>>>()?;
    for account in &accounts {
        mobula::get(&account.meet(accounts.clone()).remote())?;
    }
    mobula::get(&teller.meet(accounts.clone()).remote())?;
    let mut ordered = 0;
    super::measure(session, ROW, Limit::Stream, transfers as usize, || {
        ordered += transfers;
        drop(teller.order(transfers).remote());
        until(|| Ok(mobula::get(&teller.confirmed().remote())? == ordered))
    })?;
    let balances: Vec<_> = accounts.iter().map(|account| account.balance().remote()).collect();
    check(ROW, mobula::get_all(&balances)?.iter().sum(), START * ACCOUNTS as i64)?;
    dismiss(&accounts)?;
    dismiss(&[teller])
}
