"""The same labelled logs in every text format: is the verdict the same?"""
