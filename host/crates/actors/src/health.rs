//! What a plugin version says of its own health.

use std::sync::Arc;

use host_model::limits::HEALTH_TIMEOUT;

use crate::Actors;
use crate::release::Code;

impl Actors {
    /// Asks a plugin version how it is, on a thread where plugins may run.
    ///
    /// # Errors
    ///
    /// What it says, or that it broke or said nothing.
    pub async fn health(&self, code: &Arc<Code>) -> Result<(), String> {
        let code = Arc::clone(code);
        let asked = self.data.spawn_blocking(move || code.plugin().health());
        match tokio::time::timeout(HEALTH_TIMEOUT, asked).await {
            Ok(Ok(Ok(Ok(())))) => Ok(()),
            Ok(Ok(Ok(Err(rejection)))) => Err(rejection.message),
            Ok(Ok(Err(fault))) => Err(fault.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => {
                let seconds = HEALTH_TIMEOUT.as_secs();
                Err(format!("it has not answered within {seconds} s"))
            }
        }
    }
}
