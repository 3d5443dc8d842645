"""What a person types: `./penstock <command>`. Each command has a file; nothing heavy is imported before it is chosen."""
