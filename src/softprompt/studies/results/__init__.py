"""What has become of a study's runs."""
