//! What everything is compiled on: the flags, and the ConfigMap of `--configmap`. When it changes, nothing that was compiled
//! on the former one is of use.

use std::sync::Arc;

use super::config_map;
use super::ingress::annotations::Settings;
use super::said::{BackendSettings, Said};
use crate::ir::{Globals, Name, Problem};
use crate::settings::CompileOptions;
use crate::snapshot::{ConfigMap, Snapshot, Version};

/// Flags and ConfigMap, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ground {
    /// The flags.
    pub(super) options: CompileOptions,
    /// The settings that those of every Ingress start from; of its Service ports nothing.
    pub(super) base: Settings,
    /// What is set of Service ports, for those of which nobody says it.
    pub(super) backend: Option<Said>,
    /// What only the compiler needs to know.
    pub(super) keys: config_map::Keys,
    /// What is served with.
    pub(super) globals: Arc<Globals>,
    /// What is wrong with the ConfigMap.
    pub(super) problems: Vec<Problem>,
    /// The ConfigMaps that were looked at, with their versions; `None` if one was not there.
    sources: Vec<(Name, Option<Version>)>,
}

impl Ground {
    /// That of the flags alone.
    pub(super) fn of_flags(options: &CompileOptions) -> Ground {
        Ground { options: options.clone(), ..Ground::default() }
    }

    /// Reads the ConfigMap of the flags.
    pub(super) fn read(snapshot: &Snapshot, options: &CompileOptions) -> Ground {
        let mut sources = Vec::new();
        let mut find = |name: &Name| -> Option<&ConfigMap> {
            let found = snapshot.config_maps.get(name);
            sources.push((name.clone(), found.map(|map| map.meta.version)));
            found.map(Arc::as_ref)
        };
        let map = options.config_map.as_ref().and_then(&mut find);
        let config_map::Read { mut base, keys, globals, problems, .. } =
            map.map(|map| config_map::read(map, options.folder, find)).unwrap_or_default();
        let settings = std::mem::take(&mut base.backend);
        let said = |map: &ConfigMap| Said { object: Arc::clone(&map.meta.object), settings: Arc::new(settings) };
        let backend = map.map(said).filter(|said| *said.settings != BackendSettings::default());
        Ground { options: options.clone(), base, backend, keys, globals: Arc::new(globals), problems, sources }
    }

    /// Whether it is what these flags and objects say.
    pub(super) fn is_current(&self, snapshot: &Snapshot, options: &CompileOptions) -> bool {
        let is_same = |(name, version): &(Name, Option<Version>)| {
            snapshot.config_maps.get(name).map(|map| map.meta.version) == *version
        };
        self.options == *options && self.sources.iter().all(is_same)
    }
}
