//! Who takes the batches: HubSpot, or nobody.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;

use crate::hubspot::{BatchReply, Client, Error, Record, WriteInput};
use crate::objects::{ObjectType, RecordId};

/// What a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Create,
    Update,
    Archive,
}

/// Takes batches of at most 100 inputs with a trace id each, in any order and
/// several at once. Done is what the reply shows; an error that leaves the
/// outcome unknown says so.
#[async_trait]
pub(crate) trait Writer: Send + Sync {
    async fn write(
        &self,
        kind: Kind,
        object: &ObjectType,
        inputs: &[WriteInput],
    ) -> Result<BatchReply, Error>;

    /// Moves at most 100 records to the recycle bin. HubSpot's answer names none
    /// of them, so that reading has to show it.
    async fn archive(&self, object: &ObjectType, ids: &[RecordId]) -> Result<(), Error>;

    /// Whether what was written is really there.
    fn writes(&self) -> bool;
}

#[async_trait]
impl Writer for Client {
    async fn write(
        &self,
        kind: Kind,
        object: &ObjectType,
        inputs: &[WriteInput],
    ) -> Result<BatchReply, Error> {
        match kind {
            Kind::Create => self.batch_create(object, inputs).await,
            Kind::Update => self.batch_update(object, inputs).await,
            Kind::Archive => unreachable!("an archive has ids and no values"),
        }
    }

    async fn archive(&self, object: &ObjectType, ids: &[RecordId]) -> Result<(), Error> {
        self.batch_archive(object, ids).await
    }

    fn writes(&self) -> bool {
        true
    }
}

/// Writes nothing and answers as HubSpot would if all went well.
#[derive(Default)]
pub(crate) struct DryRun {
    created: AtomicI64,
}

#[async_trait]
impl Writer for DryRun {
    async fn write(
        &self,
        _: Kind,
        _: &ObjectType,
        inputs: &[WriteInput],
    ) -> Result<BatchReply, Error> {
        let results = inputs.iter().map(|input| self.answer(input)).collect();
        Ok(BatchReply { status: 200, results, errors: Vec::new(), correlation_id: None })
    }

    async fn archive(&self, _: &ObjectType, _: &[RecordId]) -> Result<(), Error> {
        Ok(())
    }

    fn writes(&self) -> bool {
        false
    }
}

impl DryRun {
    fn answer(&self, input: &WriteInput) -> Record {
        let id = input.id.as_deref().and_then(|id| id.parse().ok());
        let next = || RecordId(self.created.fetch_add(1, Ordering::Relaxed) + 1);
        Record {
            id: id.unwrap_or_else(next),
            properties: input
                .properties
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
            created_at: None,
            updated_at: None,
            archived: false,
            trace_id: Some(input.trace_id.clone()),
            is_new: None,
        }
    }
}
