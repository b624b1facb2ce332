"""What keeps a project young: newer releases of its template, newer packages, and the end of what it stands on."""
