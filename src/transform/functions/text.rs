//! Functions from text to text, and the plumbing they share.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::{domain, email};

/// A function from one text to another.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TextFunction {
    kind: Kind,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    EmailNormalize,
    EmailKey,
    EmailDomain,
    RegistrableDomain,
}

impl Kind {
    /// The value of one text; `scratch` is room for it, where it is not a part
    /// of the text itself.
    fn apply<'a>(self, text: &'a str, scratch: &'a mut String) -> Option<&'a str> {
        match self {
            Self::EmailNormalize => email::normalised(text, scratch),
            Self::EmailKey => email::key(text, scratch),
            Self::EmailDomain => email::domain(text, scratch),
            Self::RegistrableDomain => domain::registrable(text, scratch),
        }
    }
}

impl TextFunction {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Kind::EmailNormalize, Kind::EmailKey, Kind::EmailDomain, Kind::RegistrableDomain]
            .into_iter()
            .map(|kind| Self { kind, signature: one_text() })
    }
}

/// The signature of a function of one text.
pub(super) fn one_text() -> Signature {
    Signature::string(1, Volatility::Immutable)
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::EmailNormalize => "email_normalize",
            Kind::EmailKey => "email_key",
            Kind::EmailDomain => "email_domain",
            Kind::RegistrableDomain => "registrable_domain",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        over_first(&args, |texts| {
            let mut values = StringBuilder::with_capacity(texts.len(), texts.len() * 24);
            let mut scratch = String::new();
            each(texts, |text| {
                scratch.clear();
                values.append_option(text.and_then(|text| self.kind.apply(text, &mut scratch)));
            })?;
            Ok(Arc::new(values.finish()))
        })
    }
}

/// Applies a function of whole arrays to the first argument: a constant gives
/// a constant.
pub(super) fn over_first(
    args: &ScalarFunctionArgs,
    apply: impl FnOnce(&ArrayRef) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    match &args.args[0] {
        ColumnarValue::Array(array) => Ok(ColumnarValue::Array(apply(array)?)),
        constant @ ColumnarValue::Scalar(_) => {
            let values = apply(&constant.to_array(1)?)?;
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?))
        }
    }
}

/// Shows every text of an array, of whatever encoding, to a function.
pub(super) fn each(array: &ArrayRef, mut see: impl FnMut(Option<&str>)) -> Result<()> {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().for_each(see),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().for_each(see),
        DataType::Utf8View => array.as_string_view().iter().for_each(see),
        _ => {
            let texts = cast(array, &DataType::Utf8)?;
            texts.as_string::<i32>().iter().for_each(&mut see);
        }
    }
    Ok(())
}
