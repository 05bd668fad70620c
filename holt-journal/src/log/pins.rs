//! Who needs the log from which address on, apart from recovery.
//!
//! * A pin without a bound holds what it needs for as long as it lives: a verification, a backup.
//! * A pin with a bound is a feed's. It holds back no more bytes than that; one that lags further behind is *cut off*
//!   when the log is given up below it, and its owner learns so from its next step.

use super::feed::LogFeeds;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pins {
    held: Vec<Pin>,
    next_ticket: u64,
    cut_off: u64,
}

#[derive(Debug)]
struct Pin {
    ticket: u64,
    address: u64,
    /// Bytes that it may hold back; none if that is without end.
    bound: Option<u64>,
}

impl Pins {
    /// Holds the log from `address` on until the ticket is given back.
    pub(super) fn hold(&mut self, address: u64, bound: Option<u64>) -> u64 {
        self.next_ticket += 1;
        self.held.push(Pin { ticket: self.next_ticket, address, bound });
        self.next_ticket
    }

    /// Gives a ticket back. One that was cut off is back already.
    pub(super) fn release(&mut self, ticket: u64) {
        self.held.retain(|pin| pin.ticket != ticket);
    }

    /// Needs the log only from `address` on from now; false if the ticket was cut off.
    pub(super) fn advance(&mut self, ticket: u64, address: u64) -> bool {
        let pin = self.held.iter_mut().find(|pin| pin.ticket == ticket);
        pin.map(|pin| pin.address = address).is_some()
    }

    /// Whether the ticket still holds.
    pub(super) fn holds(&self, ticket: u64) -> bool {
        self.held.iter().any(|pin| pin.ticket == ticket)
    }

    /// From where the log is needed, when nobody without a pin needs it below `address`.
    pub(super) fn needed(&self, address: u64) -> u64 {
        let within =
            |pin: &&Pin| pin.bound.is_none_or(|bound| address.saturating_sub(pin.address) <= bound);
        self.held.iter().filter(within).map(|pin| pin.address).fold(address, u64::min)
    }

    /// The log begins at `address` now: whoever needs it from below is cut off.
    pub(super) fn begins_at(&mut self, address: u64) {
        let before = self.held.len();
        self.held.retain(|pin| pin.address >= address);
        self.cut_off += (before - self.held.len()) as u64;
    }

    /// What becomes of the feeds.
    pub(super) fn feeds(&self) -> LogFeeds {
        let feeds = || self.held.iter().filter(|pin| pin.bound.is_some());
        LogFeeds {
            open: feeds().count() as u64,
            slowest: feeds().map(|pin| pin.address).min(),
            cut_off: self.cut_off,
        }
    }
}
