//! 199 to 207, as far as it exists: origins, CORS, error texts.
