//! `bit_count`: how many bits of a number are set.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::text::over_first;

/// The bits that are set in a whole number: days in a mask of days.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BitCount {
    signature: Signature,
}

impl BitCount {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for BitCount {
    fn name(&self) -> &str {
        "bit_count"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_first(&args, |numbers| {
            let numbers = numbers.as_primitive::<Int64Type>();
            let counts: Int64Array = numbers.unary(|number| i64::from(number.count_ones()));
            Ok(Arc::new(counts))
        })
    }
}
