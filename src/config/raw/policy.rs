//! The `policy` section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Engine {
    Opa,
    Config,
}

/// What a decision looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum DecisionForm {
    Boolean,
    Object,
}

/// Whether decisions bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Mode {
    Enforce,
    Audit,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Policy {
    /// `false` written out is consent to everything that the routes allow, and warned about at every start.
    pub enabled: bool,
    /// `opa`: Rego policies. `config`: the same answer for every call, `default_allow`.
    pub engine: Engine,
    /// The answer of `engine: config`.
    pub default_allow: bool,
    /// The directory with the Rego policies. Required with `engine: opa`.
    pub policy_path: String,
    /// The rule that decides, as a path.
    pub decision_path: String,
    /// What the rule's value looks like. `object` is not supported yet.
    #[schemars(extend("x-later-values" = ["object"]))]
    pub decision: DecisionForm,
    /// `audit` (decide and log, do not block) is not supported yet.
    #[schemars(extend("x-later-values" = ["audit"]))]
    pub mode: Mode,
    /// One decision. One that takes longer is a refusal.
    #[schemars(extend("x-duration" = "positive"))]
    pub timeout: Time,
    /// How much of a body is read for a policy that looks at it.
    #[schemars(extend("x-later" = true))]
    pub max_body_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            enabled: true,
            engine: Engine::Config,
            default_allow: false,
            policy_path: String::new(),
            decision_path: "veilwarden/authz/allow".to_owned(),
            decision: DecisionForm::Boolean,
            mode: Mode::Enforce,
            timeout: Time::millis(50),
            max_body_bytes: 65_536,
        }
    }
}
