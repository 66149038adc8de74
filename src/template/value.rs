//! What a pipeline can hold: the few Go types that an environment, the constants and our functions can produce.
//! Not here: how a value is printed (`verbs`) or compared (`funcs`).

use std::rc::Rc;

use super::Environment;

/// A string as Go has it: bytes, mostly UTF-8.
pub type Text = Rc<[u8]>;

/// A value with its Go type.
#[derive(Clone, Debug)]
pub enum Value<'e> {
    /// Untyped nil, and the dot of a template that was called without one.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `uint8`: what indexing a string gives.
    Byte(u8),
    /// `float64`
    Float(f64),
    /// `complex128`
    Complex(f64, f64),
    /// `string`
    Text(Text),
    /// `[]string`
    Texts(Rc<[Text]>),
    /// `[]int`
    Ints(Rc<[i64]>),
    /// The environment, a `map[string]string`.
    Env(&'e Environment),
}

impl<'e> Value<'e> {
    /// A string value.
    pub fn text(bytes: impl Into<Text>) -> Self {
        Value::Text(bytes.into())
    }

    /// The variable of that name; an unset one is the empty string.
    pub fn variable(env: &'e Environment, name: &[u8]) -> Self {
        Value::text(env.get(name).unwrap_or_default())
    }

    /// Go's name for the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Byte(_) => "uint8",
            Value::Float(_) => "float64",
            Value::Complex(..) => "complex128",
            Value::Text(_) => "string",
            Value::Texts(_) => "[]string",
            Value::Ints(_) => "[]int",
            Value::Env(_) => "template.Environment",
        }
    }

    /// Whether `if` takes its first branch: anything but nil, false, zero and what is empty.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Byte(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Value::Text(_) | Value::Texts(_) | Value::Ints(_) | Value::Env(_) => self.len() != Some(0),
        }
    }

    /// The length, in bytes for a string; none for what has no length.
    pub fn len(&self) -> Option<usize> {
        match self {
            Value::Text(text) => Some(text.len()),
            Value::Texts(list) => Some(list.len()),
            Value::Ints(list) => Some(list.len()),
            Value::Env(env) => Some(env.len()),
            Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Byte(_) | Value::Float(_) | Value::Complex(..) => None,
        }
    }

    /// How many bytes are looked at when all of it is.
    pub fn weight(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Texts(list) => list.iter().map(|text| text.len() + 16).sum(),
            Value::Ints(list) => 8 * list.len(),
            Value::Env(env) => env.iter().map(|(name, value)| name.len() + value.len() + 16).sum(),
            Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Byte(_) | Value::Float(_) | Value::Complex(..) => 0,
        }
    }

    /// A whole number of any type.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Byte(number) => Some(i64::from(*number)),
            Value::Nil
            | Value::Bool(_)
            | Value::Float(_)
            | Value::Complex(..)
            | Value::Text(_)
            | Value::Texts(_)
            | Value::Ints(_)
            | Value::Env(_) => None,
        }
    }

    /// The element of a list, or the byte of a string, at an index.
    pub fn element(&self, index: usize) -> Option<Value<'e>> {
        match self {
            Value::Text(text) => text.get(index).copied().map(Value::Byte),
            Value::Texts(list) => list.get(index).cloned().map(Value::Text),
            Value::Ints(list) => list.get(index).copied().map(Value::Int),
            Value::Nil
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Byte(_)
            | Value::Float(_)
            | Value::Complex(..)
            | Value::Env(_) => None,
        }
    }
}
