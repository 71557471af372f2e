"""Explanations: sentences about features by a language model behind any OpenAI-compatible server, and their scores.

    client        one model on one server
    sampling      which texts explain a feature and which test the explanation; an estimate of the cost
    prompts       the questions (prompt_texts/*.txt), in full or short for small models
    shown_texts   texts cut around what matters in them
    context       questions cut to what a model can read
    replies       how answers are read
    marked_words  texts with the words marked that made a feature fire, or others
    explanations  one feature: every question that it takes
    scoring       detection and fuzzing scores

Off unless a build is given --labeller. The client library (openai) is imported when it is needed.
"""
