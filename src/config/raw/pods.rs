//! `kubernetes.pod_binding`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a call must come from the pod that its token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum PodBinding {
    Off,
    Warn,
    Enforce,
}
