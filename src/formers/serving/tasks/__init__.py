"""Every task served: the routes of the Hub's Inference API and of TEI, around any pipeline."""
