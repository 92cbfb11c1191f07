//! Variables that hold keys, which a command behind a private proxy does not need.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

/// Where clients of well-known services look for their key. Names of accounts, regions and the like stay.
const KNOWN: [&str; 71] = [
    "AI21_API_KEY",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AZURE_API_KEY",
    "AZURE_CLIENT_SECRET",
    "AZURE_OPENAI_API_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "BITBUCKET_TOKEN",
    "BRAVE_API_KEY",
    "BUILDKITE_API_TOKEN",
    "CARGO_REGISTRY_TOKEN",
    "CEREBRAS_API_KEY",
    "CIRCLE_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLOUDFLARE_API_KEY",
    "CLOUDFLARE_API_TOKEN",
    "COHERE_API_KEY",
    "CO_API_KEY",
    "DATABRICKS_TOKEN",
    "DD_API_KEY",
    "DD_APP_KEY",
    "DEEPSEEK_API_KEY",
    "DIGITALOCEAN_ACCESS_TOKEN",
    "DISCORD_TOKEN",
    "DOCKER_PASSWORD",
    "DOPPLER_TOKEN",
    "ELEVENLABS_API_KEY",
    "EXA_API_KEY",
    "FIREWORKS_API_KEY",
    "GEMINI_API_KEY",
    "GH_ENTERPRISE_TOKEN",
    "GH_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GITHUB_PERSONAL_ACCESS_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "HEROKU_API_KEY",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "JIRA_API_TOKEN",
    "LANGCHAIN_API_KEY",
    "LANGSMITH_API_KEY",
    "LINEAR_API_KEY",
    "MISTRAL_API_KEY",
    "NODE_AUTH_TOKEN",
    "NOTION_TOKEN",
    "NPM_TOKEN",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "PERPLEXITY_API_KEY",
    "PINECONE_API_KEY",
    "REPLICATE_API_TOKEN",
    "SENDGRID_API_KEY",
    "SENTRY_AUTH_TOKEN",
    "SLACK_BOT_TOKEN",
    "STRIPE_API_KEY",
    "STRIPE_SECRET_KEY",
    "TAVILY_API_KEY",
    "TOGETHER_API_KEY",
    "TWILIO_AUTH_TOKEN",
    "TWINE_PASSWORD",
    "VAULT_TOKEN",
    "VERCEL_TOKEN",
    "XAI_API_KEY",
];

/// veilwarden's own variables begin so: its session secret, its Doppler token.
const OWN: &str = "VEILWARDEN_";

/// The names among `inherited` that the command must not have: the known ones, those that `configured` secrets come
/// from, and veilwarden's own.
pub fn scrubbed<'a>(
    inherited: impl Iterator<Item = OsString>,
    configured: impl Iterator<Item = &'a str>,
) -> BTreeSet<OsString> {
    let unwanted: BTreeSet<&OsStr> = KNOWN.into_iter().chain(configured).map(OsStr::new).collect();
    let is_own = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(OWN));
    inherited.filter(|name| unwanted.contains(name.as_os_str()) || is_own(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_and_everything_else_stays() {
        let inherited = [
            "OPENAI_API_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_REGION",
            "PATH",
            "MY_KEY",
            "VEILWARDEN_SESSION_SECRET",
            "OTHER_KEY",
        ];
        let names = scrubbed(inherited.into_iter().map(OsString::from), ["MY_KEY", "UNSET"].into_iter());
        let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["AWS_SECRET_ACCESS_KEY", "MY_KEY", "OPENAI_API_KEY", "VEILWARDEN_SESSION_SECRET"]);
    }
}
