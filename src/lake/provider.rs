//! A table version as DataFusion sees it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use deltalake::DeltaTable;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};

/// delta-rs's scan with the types a lake table has: plain `Utf8`, where delta-rs
/// would answer views and dictionaries, so that what is read can be written back
/// as it is. It makes the table's store known to the session that scans it.
#[derive(Debug)]
pub(super) struct LakeProvider {
    delta: DeltaTable,
    scan: DeltaScanNext,
}

impl LakeProvider {
    pub(super) fn new(delta: DeltaTable) -> Result<Self> {
        let mut config = DeltaScanConfig::new().with_wrap_partition_values(false);
        config.schema_force_view_types = false;
        let scan = DeltaScanNext::new(delta.snapshot()?.snapshot().clone(), config)?;
        Ok(Self { delta, scan })
    }
}

#[async_trait]
impl TableProvider for LakeProvider {
    fn schema(&self) -> SchemaRef {
        self.scan.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        None
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.delta.update_datafusion_session(session)?;
        self.scan.scan(session, projection, filters, limit).await
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        self.scan.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.scan.statistics()
    }
}
