//! What the server does with an object that is sent: as much of it as the controller uses.

use serde_json::{Value, json};

use super::{Ask, Fake};

impl Fake {
    /// Status and body of the answer.
    pub(super) fn write(&self, ask: &Ask) -> (u16, Value) {
        let parts: Vec<&str> = ask.what.split('/').collect();
        let object = ask.object.clone();
        match (ask.method.as_str(), &parts[..]) {
            ("POST", [resource]) => self.create(resource, ask.namespace.as_deref().unwrap(), object),
            ("PUT", [resource, namespace, name]) => self.replace(resource, &format!("{namespace}/{name}"), object),
            ("PATCH", [resource, namespace, name, "status"]) => {
                self.merge(resource, &format!("{namespace}/{name}"), "status", &object)
            }
            ("PATCH", [resource @ "events", namespace, name]) => {
                self.merge(resource, &format!("{namespace}/{name}"), "series", &object)
            }
            other => panic!("{other:?}"),
        }
    }

    fn create(&self, resource: &str, namespace: &str, mut object: Value) -> (u16, Value) {
        object["metadata"]["namespace"] = json!(namespace);
        let name = format!("{namespace}/{}", object["metadata"]["name"].as_str().unwrap());
        match self.find(resource, &name) {
            Some(_) => refused(409),
            None => (201, self.put(resource, object)),
        }
    }

    fn replace(&self, resource: &str, name: &str, object: Value) -> (u16, Value) {
        match self.find(resource, name) {
            None => refused(404),
            Some(present) if present["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] => {
                refused(409)
            }
            Some(_) => (200, self.put(resource, object)),
        }
    }

    fn merge(&self, resource: &str, name: &str, field: &str, object: &Value) -> (u16, Value) {
        let Some(mut present) = self.find(resource, name) else { return refused(404) };
        if object["metadata"]["uid"].as_str().is_some_and(|uid| present["metadata"]["uid"] != uid) {
            return refused(409);
        }
        present[field] = object[field].clone();
        (200, self.put(resource, present))
    }
}

fn refused(code: u16) -> (u16, Value) {
    (code, json!({"kind": "Status", "code": code, "message": format!("code {code}")}))
}
