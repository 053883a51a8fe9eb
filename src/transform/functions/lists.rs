//! `hs_split`: HubSpot's lists in one text.

use std::sync::Arc;

use arrow::array::{Array, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature};

use super::text::{each, one_text, over_first};

/// The values of a multi-select, additional emails or merged ids (`a;b`) as a
/// list, trimmed, empty ones dropped.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct HsSplit {
    signature: Signature,
}

impl HsSplit {
    pub(super) fn new() -> Self {
        Self { signature: one_text() }
    }
}

impl ScalarUDFImpl for HsSplit {
    fn name(&self) -> &str {
        "hs_split"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_first(&args, |texts| {
            let mut lists = ListBuilder::with_capacity(StringBuilder::new(), texts.len());
            each(texts, |text| {
                for value in text.into_iter().flat_map(parts) {
                    lists.values().append_value(value);
                }
                lists.append(text.is_some());
            })?;
            Ok(Arc::new(lists.finish()))
        })
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|part| !part.is_empty())
}
