//! `stage_rank`: how far along an ordered list a value stands.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Builder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::text::each;

/// The place of a value in an ordered list, from one; case and surrounding
/// space do not matter. Null when it is not on the list.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct StageRank {
    signature: Signature,
}

impl StageRank {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for StageRank {
    fn name(&self) -> &str {
        "stage_rank"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, list] = types else {
            return plan_err!(
                "stage_rank takes a value and an ordered list: stage_rank(stage, ['lead', 'customer'])"
            );
        };
        let value = match value {
            text if text.is_string() => text.clone(),
            DataType::Null => DataType::Utf8,
            DataType::Dictionary(_, values) if values.is_string() => DataType::Utf8,
            other => return plan_err!("stage_rank takes a text as its value, not {other}"),
        };
        let is_list = match list {
            DataType::Null => true,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item) => {
                item.data_type().is_string() || item.data_type().is_null()
            }
            _ => false,
        };
        if !is_list {
            return plan_err!("stage_rank takes a list of texts as its order, not {list}");
        }
        let texts = Arc::new(Field::new_list_field(DataType::Utf8, true));
        Ok(vec![value, DataType::List(texts)])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let values = args.args[0].to_array(rows)?;
        let ranks = match &args.args[1] {
            ColumnarValue::Scalar(list) => by_constant(&values, &list.to_array_of_size(1)?),
            ColumnarValue::Array(lists) => by_row(&values, lists),
        }?;
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&ranks, 0)?),
            false => ColumnarValue::Array(ranks),
        })
    }
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The places of the texts of a list; of a text that comes twice, the first.
fn places(list: &ArrayRef) -> Result<HashMap<String, i64>> {
    let mut places = HashMap::new();
    let mut place = 0;
    each(list, |text| {
        place += 1;
        if let Some(text) = text {
            places.entry(folded(text)).or_insert(place);
        }
    })?;
    Ok(places)
}

fn by_constant(values: &ArrayRef, lists: &ArrayRef) -> Result<ArrayRef> {
    let list = lists.as_list::<i32>();
    let places = if list.is_null(0) { HashMap::new() } else { places(&list.value(0))? };
    let mut ranks = Int64Builder::with_capacity(values.len());
    each(values, |text| {
        let rank =
            text.and_then(|text| places.get(text).or_else(|| places.get(&folded(text))).copied());
        ranks.append_option(rank);
    })?;
    Ok(Arc::new(ranks.finish()))
}

fn by_row(values: &ArrayRef, lists: &ArrayRef) -> Result<ArrayRef> {
    let lists = lists.as_list::<i32>();
    let mut texts = Vec::with_capacity(values.len());
    each(values, |text| texts.push(text.map(folded)))?;
    let mut ranks = Int64Builder::with_capacity(values.len());
    for (row, text) in texts.iter().enumerate() {
        let rank = match text {
            Some(text) if lists.is_valid(row) => places(&lists.value(row))?.get(text).copied(),
            _ => None,
        };
        ranks.append_option(rank);
    }
    Ok(Arc::new(ranks.finish()))
}
