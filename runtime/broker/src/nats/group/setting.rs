//! Turning group commit on and off.

use highwater_protocol::{Namespace, namespace::Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    broker::BoxFuture,
    error::NamespaceError,
    nats::{NatsBroker, NatsConnection, direct::NoBody, namespace::configs, version},
};

/// The field of a stream's configuration that allows batches.
const ALLOW_ATOMIC: &str = "allow_atomic";

#[derive(Deserialize)]
struct Info {
    /// As it stands: an update has to repeat what it does not change, also fields that this build does not know.
    config: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Update<'a>(&'a Map<String, Value>);

impl NatsConnection {
    /// Turns group commit on or off in a namespace that exists. Processes that have it open go on as they were until
    /// they open it again: turned on they publish as before, turned off they see that batches are refused. To turn it
    /// on where it is on gives the streams back what allows it.
    ///
    /// # Errors
    ///
    /// As [`open_namespace`](Self::open_namespace); also [`NamespaceError::GroupCommit`] where the server is too old,
    /// and [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when somebody else changes the settings at the same
    /// time.
    pub async fn set_group_commit(&self, namespace: &Namespace, on: bool) -> Result<NatsBroker, NamespaceError> {
        self.setting_group_commit(namespace, on).await
    }

    fn setting_group_commit<'a>(
        &'a self,
        namespace: &'a Namespace,
        on: bool,
    ) -> BoxFuture<'a, Result<NatsBroker, NamespaceError>> {
        Box::pin(async move {
            let (found, revision) = if let Ok(published) = self.published(namespace).await {
                published
            } else {
                // One whose making was interrupted is completed first.
                self.open_namespace(namespace).await?;
                self.published(namespace).await?
            };
            let settings = Settings { group_commit: on, ..found };
            self.check_group_commit(&settings)?;
            // Who reads that it is on must find streams that allow it.
            if on {
                self.allow_batches(namespace, true).await?;
            }
            self.publish(namespace, &settings, revision).await?;
            if !on {
                self.allow_batches(namespace, false).await?;
            }
            self.open_namespace(namespace).await
        })
    }

    /// Refuses group commit on servers that do not gain by it: they write every message of a batch for itself.
    pub(in crate::nats) fn check_group_commit(&self, settings: &Settings) -> Result<(), NamespaceError> {
        let found = self.server_version();
        if settings.group_commit && !version::has_group_commit(&found) {
            return Err(NamespaceError::GroupCommit { found, needed: version::GROUP_COMMIT_NEEDED });
        }
        Ok(())
    }

    async fn allow_batches(&self, namespace: &Namespace, on: bool) -> Result<(), NamespaceError> {
        // Those that take batches are known by what they should be.
        let grouped = Settings { group_commit: true, ..Settings::default() };
        let all = configs(namespace, &grouped).into_iter().filter(|config| config.allow_atomic_publish);
        for name in all.map(|config| config.name) {
            let info: Result<Info, _> = self.link.api(&format!("STREAM.INFO.{name}"), &NoBody {}).await;
            let mut config = info.map_err(|refusal| NamespaceError::Broker(refusal.error))?.config;
            if config.get(ALLOW_ATOMIC).and_then(Value::as_bool).unwrap_or_default() == on {
                continue;
            }
            config.insert(ALLOW_ATOMIC.into(), on.into());
            let call = format!("STREAM.UPDATE.{name}");
            let updated = self.link.api::<serde::de::IgnoredAny>(&call, &Update(&config)).await;
            updated.map_err(|refusal| NamespaceError::Broker(refusal.error))?;
        }
        Ok(())
    }
}
