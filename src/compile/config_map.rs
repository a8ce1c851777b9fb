//! The ConfigMap of `--configmap`: ingress-nginx's global settings.

use crate::compile::ingress::annotations;
use crate::ir::Name;
use crate::snapshot::ConfigMap;

/// Keys whose value names another ConfigMap, as `namespace/name`.
const NAMING: [&str; 2] = ["add-headers", "proxy-set-headers"];

/// The ConfigMaps that this one names.
pub(super) fn references(map: &ConfigMap) -> impl Iterator<Item = Name> {
    let own = &map.meta.object.name.namespace;
    NAMING.iter().filter_map(|key| annotations::reference(map.data.get(key)?.trim(), own))
}
