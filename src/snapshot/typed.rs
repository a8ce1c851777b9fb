//! A value as the type of its kind, with the field that does not fit and the fields that the type does not have.
//!
//! The types themselves tell which fields they have, so there is no second list of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::serde::de::value::StrDeserializer;
use k8s_openapi::serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use k8s_openapi::serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use super::field::{FieldPath, Step};
use crate::settings::suggest::{distance, nearest};

/// More unknown fields of one object are not told.
const MOST: usize = 8;

/// A field that holds what its type does not take.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The way to it.
    pub(super) path: FieldPath,
    /// What is wrong: `expected an integer, found string "http"`.
    pub(super) what: String,
}

/// A field that the type does not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// The way to it.
    pub(super) path: FieldPath,
    /// What to do.
    pub(super) hint: String,
}

/// Reads `value` as `T`, which may leave out fields of the object and of its metadata that nobody reads; `K` is Kubernetes'
/// own type, which has them all.
pub(super) fn read<T: DeserializeOwned, K: DeserializeOwned>(value: Value) -> (Result<T, Misfit>, Vec<Unknown>) {
    let mut found = Found { misfit: None, unknown: Vec::new(), whole: fields_of::<K>() };
    let read = T::deserialize(At { value, way: &Way::Top, found: &mut found });
    let Found { misfit, unknown, whole: _ } = found;
    let misfit = |error: Error| misfit.unwrap_or_else(|| Misfit { path: FieldPath::default(), what: plain(&error) });
    (read.map_err(misfit), unknown)
}

/// What was found on the way.
struct Found {
    misfit: Option<Misfit>,
    unknown: Vec<Unknown>,
    /// The fields of the object.
    whole: &'static [&'static str],
}

/// The way from the top, made without allocating: it is told of few values only.
enum Way<'a> {
    Top,
    Field(&'a Way<'a>, &'a str),
    Item(&'a Way<'a>, usize),
}

impl Way<'_> {
    fn path(&self) -> FieldPath {
        let (above, step) = match self {
            Way::Top => return FieldPath::default(),
            Way::Field(above, name) => (above, Step::Field((*name).to_owned())),
            Way::Item(above, index) => (above, Step::Item(*index)),
        };
        let mut path = above.path();
        path.0.push(step);
        path
    }
}

/// A value and where it stands.
struct At<'a> {
    value: Value,
    way: &'a Way<'a>,
    found: &'a mut Found,
}

impl At<'_> {
    /// Reads the value by `read`, without what is below it.
    fn leaf<R>(self, read: impl FnOnce(Value) -> Result<R, Error>) -> Result<R, Error> {
        let At { value, way, found } = self;
        read(value).inspect_err(|error| found.blame(way, error))
    }

    fn seq<'de, V: Visitor<'de>>(
        items: Vec<Value>,
        way: &Way<'_>,
        found: &mut Found,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let items = Items { items: items.into_iter(), index: 0, way, found: &mut *found };
        visitor.visit_seq(items).inspect_err(|error| found.blame(way, error))
    }

    fn map<'de, V: Visitor<'de>>(
        fields: Map<String, Value>,
        way: &Way<'_>,
        found: &mut Found,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let fields = Fields { fields: fields.into_iter(), next: None, way, found: &mut *found };
        visitor.visit_map(fields).inspect_err(|error| found.blame(way, error))
    }
}

impl Found {
    /// Notes the first error; those above it come of it.
    fn blame(&mut self, way: &Way<'_>, error: &Error) {
        self.misfit.get_or_insert_with(|| Misfit { path: way.path(), what: plain(error) });
    }

    /// Notes the fields that no type has; `read` are those of the type that is read.
    fn compare(&mut self, fields: &Map<String, Value>, read: &'static [&'static str], way: &Way<'_>) {
        let known = match way {
            Way::Top => self.whole,
            Way::Field(Way::Top, "metadata") => fields_of::<ObjectMeta>(),
            Way::Field(..) | Way::Item(..) => read,
        };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            if self.unknown.len() == MOST {
                return;
            }
            let mut path = way.path();
            let right =
                |right: &str| format!("{}{right}", if path.0.is_empty() { String::new() } else { format!("{path}.") });
            // Two letters that changed places are two edits.
            let allowed = (name.len() / 2).clamp(1, 3);
            let near = nearest(name, known.iter().copied()).into_iter().next();
            let hint = match near.filter(|near| distance(name, near) <= allowed) {
                Some(near) => format!("did you mean {}?", right(near)),
                None if known.len() <= MOST => format!("remove it; there are {}", known.join(", ")),
                None => "remove it".to_owned(),
            };
            path.0.push(Step::Field(name.clone()));
            self.unknown.push(Unknown { path, hint });
        }
    }
}

/// Serde's sentence in the words of a manifest.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    let parts = ["invalid type: ", "invalid value: "].iter().find_map(|start| text.strip_prefix(start));
    let Some((found, expected)) = parts.and_then(|parts| parts.rsplit_once(", expected ")) else { return text };
    let expected = match expected {
        "i32" | "i64" | "u32" | "u64" => "an integer",
        "a sequence" => "a list",
        // The name of a type.
        name if name.starts_with(char::is_uppercase) || name.starts_with("struct ") => "a mapping",
        "a map" => "a mapping",
        other => other,
    };
    let found = match found {
        "map" => "a mapping",
        "sequence" => "a list",
        "unit value" | "null" => "nothing",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

/// The fields of a type of Kubernetes.
fn fields_of<K: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It ends as soon as the type has told its fields.
    let _ = K::deserialize(Ask { fields: &mut fields });
    fields
}

struct Ask<'a> {
    fields: &'a mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only asked"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.fields = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

macro_rules! leaves {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.leaf(|value| value.$method(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            At { value: Value::Array(items), way, found } => At::seq(items, way, found, visitor),
            At { value: Value::Object(fields), way, found } => At::map(fields, way, found, visitor),
            leaf => leaf.leaf(|value| value.deserialize_any(visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Value::Object(fields) = &self.value {
            self.found.compare(fields, known, self.way);
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.leaf(|value| value.deserialize_enum(name, variants, visitor))
    }

    leaves! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
    }

    forward_to_deserialize_any! { unit_struct tuple tuple_struct }
}

struct Items<'a> {
    items: std::vec::IntoIter<Value>,
    index: usize,
    way: &'a Way<'a>,
    found: &'a mut Found,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let way = Way::Item(self.way, self.index);
        self.index += 1;
        seed.deserialize(At { value, way: &way, found: &mut *self.found }).map(Some)
    }
}

struct Fields<'a> {
    fields: serde_json::map::IntoIter,
    next: Option<(String, Value)>,
    way: &'a Way<'a>,
    found: &'a mut Found,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        let key = seed.deserialize(StrDeserializer::new(&name)).map(Some);
        self.next = Some((name, value));
        key
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, value) = self.next.take().unwrap_or_default();
        let way = Way::Field(self.way, &name);
        seed.deserialize(At { value, way: &way, found: &mut *self.found })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use k8s_openapi::api::networking::v1::Ingress;
    use serde_json::json;

    use super::*;
    use crate::snapshot::raw;

    #[test]
    fn what_does_not_fit_is_named_with_its_place_and_what_would() {
        for (spec, expected) in [
            (json!({"ports": [{"port": "http"}]}), "spec.ports[0].port: expected an integer, found string \"http\""),
            (
                json!({"ports": [{"port": 1}, {"port": 80.5}]}),
                "spec.ports[1].port: expected an integer, found floating point `80.5`",
            ),
            (json!({"ports": {"port": 80}}), "spec.ports: expected a list, found a mapping"),
            (json!({"ports": ["80"]}), "spec.ports[0]: expected a mapping, found string \"80\""),
            (json!({"selector": [1]}), "spec.selector: expected a mapping, found a list"),
            (json!({"selector": {"a": true}}), "spec.selector.a: expected a string, found boolean `true`"),
            (json!(5), "spec: expected a mapping, found integer `5`"),
        ] {
            let (read, _) = read::<raw::Service, Service>(json!({"kind": "Service", "apiVersion": "v1", "spec": spec}));
            let Misfit { path, what } = read.err().unwrap();
            assert_eq!(format!("{path}: {what}"), expected);
        }
    }

    #[test]
    fn fields_that_the_type_does_not_have_are_named_and_the_rest_is_read() {
        let value = json!({
            "kind": "Ingress", "apiVersion": "networking.k8s.io/v1", "colour": "red",
            "metadata": {"name": "a", "annotations": {"any": "name"}, "lables": {}, "uid": "u", "managedFields": []},
            "spec": {"ruls": [], "rules": [{"http": {"paths": [
                {"pathtype": "Exact", "path": "/", "backend": {"serviceName": "a", "service": {"name": "a"}}},
            ]}}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        let (read, unknown) = read::<raw::Ingress, Ingress>(value);
        let told: Vec<_> = unknown.iter().map(|unknown| format!("{}: {}", unknown.path, unknown.hint)).collect();
        assert_eq!(
            told,
            [
                "colour: remove it; there are apiVersion, kind, metadata, spec, status",
                "metadata.lables: did you mean metadata.labels?",
                "spec.ruls: did you mean spec.rules?",
                "spec.rules[0].http.paths[0].pathtype: did you mean spec.rules[0].http.paths[0].pathType?",
                "spec.rules[0].http.paths[0].backend.serviceName: remove it; there are resource, service",
            ]
        );
        assert_eq!(read.ok().unwrap().metadata.name.as_deref(), Some("a"));
    }

    #[test]
    fn a_hostile_object_is_told_a_few_fields_only() {
        let spec: Map<String, Value> = (0..100).map(|index| (format!("x{index}"), Value::Null)).collect();
        let (_, unknown) = read::<raw::Ingress, Ingress>(json!({ "spec": spec }));
        assert_eq!(unknown.len(), MOST);
    }
}
