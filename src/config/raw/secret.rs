//! `secrets` and `secret_stores`.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::Time;

/// One secret: an id and exactly one source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["id"]))]
#[derive(Default)]
pub(in crate::config) struct SecretEntry {
    /// The name by which routes ask for it.
    pub id: String,
    /// The secret itself.
    #[schemars(with = "Option<String>")]
    pub value: Option<SecretString>,
    /// The environment variable that holds it, read once at start.
    pub env: Option<String>,
    /// The file that holds it, read again when it changes.
    pub file: Option<String>,
    /// The command that prints it.
    #[schemars(extend("x-later" = true))]
    pub command: Option<Vec<String>>,
    /// Its name in Doppler.
    pub doppler: Option<DopplerSecret>,
    /// Its place in Vault or OpenBao.
    #[schemars(extend("x-later" = true))]
    pub vault: Option<VaultSecret>,
    /// A key of a Kubernetes Secret.
    #[schemars(extend("x-later" = true))]
    pub kubernetes: Option<KubernetesSecret>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub(in crate::config) struct DopplerSecret {
    /// Empty: `secret_stores.doppler.project`.
    pub project: String,
    /// Empty: `secret_stores.doppler.config`.
    pub config: String,
    /// The secret's name in Doppler.
    pub name: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["path", "field"]))]
pub(in crate::config) struct VaultSecret {
    /// The API path, for example `secret/data/payments`.
    pub path: String,
    /// The field of the answer.
    pub field: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["namespace", "name", "key"]))]
pub(in crate::config) struct KubernetesSecret {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct SecretStores {
    /// Doppler. It is on when a token is given.
    pub doppler: DopplerStore,
    /// Vault or OpenBao.
    #[schemars(extend("x-later" = true))]
    pub vault: VaultStore,
    /// How long a fetched secret is used before it is fetched again. Flag `--secret-cache-ttl`.
    pub cache_ttl: Time,
    /// How long past `cache_ttl` a secret may still be used while its store fails. After that, calls fail.
    pub max_stale: Time,
}

impl Default for SecretStores {
    fn default() -> Self {
        SecretStores {
            doppler: DopplerStore::default(),
            vault: VaultStore::default(),
            cache_ttl: Time::seconds(5 * 60),
            max_stale: Time::seconds(15 * 60),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct DopplerStore {
    /// The API's address; https, or http on loopback. Flag `--doppler-base-url`.
    pub base_url: String,
    /// A file with the token. Before it count the flag `--doppler-token` and the variables `VEILWARDEN_DOPPLER_TOKEN` and
    /// `DOPPLER_TOKEN`.
    pub token_file: String,
    /// The project of secrets that name none. Flag `--doppler-project`, variables `VEILWARDEN_DOPPLER_PROJECT` and
    /// `DOPPLER_PROJECT`.
    pub project: String,
    /// The config of secrets that name none. Flag `--doppler-config`, variables `VEILWARDEN_DOPPLER_CONFIG` and
    /// `DOPPLER_CONFIG`.
    pub config: String,
    /// One call to Doppler, all included. Flag `--doppler-timeout`.
    #[schemars(extend("x-duration" = "positive"))]
    pub timeout: Time,
}

impl Default for DopplerStore {
    fn default() -> Self {
        DopplerStore {
            base_url: "https://api.doppler.com".to_owned(),
            token_file: String::new(),
            project: String::new(),
            config: String::new(),
            timeout: Time::seconds(5),
        }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct VaultStore {
    /// The server's address.
    pub address: String,
    /// The namespace (Enterprise).
    pub namespace: String,
    /// The server's CA, PEM.
    pub ca_file: String,
    /// How veilwarden logs in; exactly one.
    pub auth: VaultAuth,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct VaultAuth {
    /// With veilwarden's own ServiceAccount token.
    pub kubernetes: Option<VaultKubernetes>,
    /// With a token in a file.
    pub token_file: Option<String>,
    /// With an AppRole.
    pub approle: Option<VaultAppRole>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct VaultKubernetes {
    /// Where the method is mounted.
    pub mount: String,
    /// The role.
    pub role: String,
}

impl Default for VaultKubernetes {
    fn default() -> Self {
        VaultKubernetes { mount: "kubernetes".to_owned(), role: "veilwarden".to_owned() }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct VaultAppRole {
    /// The role's id.
    pub role_id: String,
    /// A file with the secret id.
    pub secret_id_file: String,
}
