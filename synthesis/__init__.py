"""What could be asked, and what do LLMs answer? Proposes propositions and elicits estimates."""
