//! Whether more of a plan may be sent, and what closed the gate if not.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{ApplyRequest, MaySend};
use crate::hubspot::Error;

/// Rows refused alone, one after the other with no batch settled between, after
/// which the refusal is HubSpot's of the whole write-back and not of a row:
/// halving every batch would spend the day's calls on it.
const MAX_ALONE: u32 = 100;

/// What the batches in flight of one apply stop by, all at once.
pub(crate) struct Gate {
    /// Set when nothing more may be sent.
    stop: CancellationToken,
    /// Asked before each batch.
    may_send: Option<MaySend>,
    stopped_by: Mutex<Option<Error>>,
    /// Rows refused alone since HubSpot last settled a batch.
    refused_alone: AtomicU32,
}

impl Gate {
    pub(crate) fn of(request: &ApplyRequest<'_>) -> Self {
        Self {
            stop: request.stop.child_token(),
            may_send: request.may_send.clone(),
            stopped_by: Mutex::new(None),
            refused_alone: AtomicU32::new(0),
        }
    }

    /// Whether the next batch may be sent; asks whoever has to be asked.
    pub(crate) fn is_open(&self) -> bool {
        if self.may_send.as_ref().is_some_and(|may_send| !may_send()) {
            self.close();
        }
        !self.is_closed()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(crate) fn close(&self) {
        self.stop.cancel();
    }

    /// Closes for HubSpot's reason; the first one stands.
    pub(crate) fn stop(&self, error: Error) {
        self.close();
        self.stopped_by.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// HubSpot's reason, if that was what closed it.
    pub(crate) fn stopped_by(&self) -> Option<Error> {
        self.stopped_by.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// HubSpot has settled a batch.
    pub(crate) fn settled(&self) {
        self.refused_alone.store(0, Ordering::Relaxed);
    }

    /// A row was refused alone; whether that is one too many.
    pub(crate) fn refused_alone(&self) -> bool {
        self.refused_alone.fetch_add(1, Ordering::Relaxed) >= MAX_ALONE
    }
}
