"""Takes jobs ("prove what is in the project's stream now") durably and at once, and works them off in the background.
In come proposals that passed the API's checks; out go committed job rows, published readings and flushed windows."""
