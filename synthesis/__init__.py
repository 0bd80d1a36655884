"""What could be asked, and what do LLMs answer? Proposing propositions and eliciting estimates."""
