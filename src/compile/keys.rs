//! What the sticky cookie calls an endpoint: nothing that could be guessed, and the same on every replica and after a restart.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::ir::{Backend, BackendId};
use crate::snapshot::{Snapshot, Uid};

/// Makes the keys of the endpoints of one backend.
pub(super) struct Keys {
    service: Arc<str>,
}

impl Keys {
    /// `None` where no cookie is given out.
    pub(super) fn of(snapshot: &Snapshot, backend: &Backend) -> Option<Keys> {
        backend.affinity.as_ref()?;
        let service = snapshot.services.get(&backend.id.service);
        Some(Keys { service: service.map(|service| Arc::clone(&service.meta.uid)).unwrap_or_default() })
    }

    /// The first 12 octets of SHA-256 over the uid of the Service and that of the Pod; without a Pod, over
    /// `address:port` in its place.
    pub(super) fn key(&self, pod: Option<&Uid>, address: SocketAddr) -> [u8; 12] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(self.service.as_bytes());
        let endpoint = pod.map_or_else(|| address.to_string(), Uid::to_string);
        hash.update(endpoint.as_bytes());
        first(&hash.finish())
    }
}

/// What cookies call a backend: the first 6 octets of SHA-256 over `namespace/service:port`.
pub(super) fn tag(backend: &BackendId) -> [u8; 6] {
    first(&digest::digest(&digest::SHA256, backend.to_string().as_bytes()))
}

fn first<const N: usize>(digest: &digest::Digest) -> [u8; N] {
    let mut first = [0; N];
    for (place, octet) in first.iter_mut().zip(digest.as_ref()) {
        *place = *octet;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_that_of_the_pod_wherever_it_answers_and_of_the_address_without_one() {
        let keys = |service: &str| Keys { service: service.into() };
        let [here, there] = ["10.0.0.1:80", "10.0.0.2:80"].map(|address| address.parse().unwrap());
        let pod = Uid::new("pod-1");
        // printf 'service-1pod-1' | sha256sum
        assert_eq!(keys("service-1").key(pod.as_ref(), here), *b"\xd6\xc9\x02\xa1\x74\x67\x3f\x99\xf4\x49\x69\x85");
        assert_eq!(keys("service-1").key(pod.as_ref(), here), keys("service-1").key(pod.as_ref(), there));
        assert_ne!(keys("service-1").key(pod.as_ref(), here), keys("service-2").key(pod.as_ref(), here));
        assert_ne!(keys("service-1").key(None, here), keys("service-1").key(None, there));
    }

    #[test]
    fn a_backend_is_called_by_what_it_is() {
        let id = BackendId::new(crate::ir::Name::new("shop", "web"), crate::ir::PortKey::Number(80));
        // printf 'shop/web:80' | sha256sum
        assert_eq!(tag(&id), *b"\x6f\xa1\x33\xc4\x4f\xed");
    }
}
